"""The range of every tensor of a TFLite model, for a child process."""

import os
from collections.abc import Iterator, Sequence

import numpy as np


def measure_ranges(
    model: str, inputs: Sequence[str], rows: int
) -> list[tuple[float, float]]:
    """Return the smallest and largest value of each output over all samples.

    Args:
        model: the path of the model; every tensor to measure is an output.
        inputs: for each input of the model, in order, an `.npy` file with one
            row per sample.
        rows: samples per call.
    """
    samples = [np.load(path, mmap_mode="r") for path in inputs]
    ranges = np.stack(list(_batch_ranges(model, samples, rows)))
    lows, highs = ranges[..., 0].min(0), ranges[..., 1].max(0)
    return list(zip(lows.tolist(), highs.tolist(), strict=True))


def _batch_ranges(
    model: str, samples: Sequence[np.ndarray], rows: int
) -> Iterator[np.ndarray]:
    """Yield, for each call, the range of each output.

    Args:
        model: the path of the model.
        samples: an array an input, in the order of the model's inputs.
        rows: samples a call. The last call takes some from the beginning
            again where they are too few.
    """
    from ai_edge_litert.interpreter import Interpreter

    # XNNPACK computes what is an output just as fast. LiteRT's own way to
    # look at all tensors, and TensorFlow's calibrator, run without it: 2.6 s
    # an image were measured for the hybrid, not 0.1 s.
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
