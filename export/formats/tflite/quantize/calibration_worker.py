"""Measure the ranges of a TFLite model's tensors; run in a child process."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def measure_ranges(
    model: str, inputs: Sequence[str], rows: int
) -> list[tuple[float, float]]:
    """Return the smallest and largest value of each output over all samples.

    Args:
        model: the path of the model; every tensor to measure is an output.
        inputs: one `.npy` file per input of the model, in order, with one row
            per sample.
        rows: samples per call.
    """
    samples = [np.load(path, mmap_mode="r") for path in inputs]
    ranges = np.stack(list(_batch_ranges(model, samples, rows)))
    lows, highs = ranges[..., 0].min(0), ranges[..., 1].max(0)
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def _batch_ranges(
    model: str, samples: Sequence[np.ndarray], rows: int
) -> Iterator[np.ndarray]:
    """Yield, per call, the range of each output.

    Args:
        model: the path of the model.
        samples: one array per input, in the order of the model's inputs.
        rows: samples per call. If too few are left for the last call, it also
            takes some from the beginning.
    """
    # With every tensor an output, XNNPACK is as fast as usual. LiteRT's option
    # to keep all tensors, and TensorFlow's calibrator, run without XNNPACK:
    # 2.6 s instead of 0.1 s per image were measured for the hybrid.
    interpreter = Interpreter(model_path=model, num_threads=os.cpu_count())
    inputs = interpreter.get_input_details()
    for details, array in zip(inputs, samples, strict=True):
        shape = (rows, *array.shape[1:])
        interpreter.resize_tensor_input(details["index"], shape)
    interpreter.allocate_tensors()
    outputs = interpreter.get_output_details()
    for start in range(0, len(samples[0]), rows):
        for details, array in zip(inputs, samples, strict=True):
            batch = array.take(range(start, start + rows), 0, mode="wrap")
            interpreter.set_tensor(details["index"], batch)
        interpreter.invoke()
        values = (interpreter.get_tensor(entry["index"]) for entry in outputs)
        yield np.array([(array.min(), array.max()) for array in values])
