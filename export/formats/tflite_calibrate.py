"""The child process that measures the range of every tensor.

    python tflite_calibrate.py MODEL RANGES ROWS INPUT.npy...

Every tensor to be measured is an output of MODEL. RANGES is written: for each
output, in their order, its smallest and largest value over all samples. Each
INPUT holds one row a sample, and the model is fed ROWS of them at a time.
It imports nothing of the package, so it can be run by its path.
"""

import os
import sys
from collections.abc import Iterator, Sequence

import numpy as np


def measure(
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


if __name__ == "__main__":
    model_path, ranges_path, rows_at_a_time, *paths = sys.argv[1:]
    arrays = [np.load(path, mmap_mode="r") for path in paths]
    ranges = np.stack(list(measure(model_path, arrays, int(rows_at_a_time))))
    np.save(
        ranges_path,
        np.stack([ranges[..., 0].min(0), ranges[..., 1].max(0)], axis=-1),
    )
