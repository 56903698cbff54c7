"""Cut samples into batches, and compute a model's outputs batch by batch."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

BATCH = 16
"""Samples per call where the batch size is free."""
Arrays = Mapping[str, np.ndarray]
"""A batch: one array per name of an input or output."""


def count(arrays: Arrays) -> int:
    """Return the number of samples in a batch."""
    return len(next(iter(arrays.values())))


def batches(inputs: Arrays, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches of equal size; the last sample pads the last batch."""
    number = count(inputs)
    for start in range(0, number, size):
        rows = np.minimum(np.arange(start, start + size), number - 1)
        yield {name: array[rows] for name, array in inputs.items()}


def run(
    call: Callable[[dict[str, np.ndarray]], Arrays],
    inputs: Arrays,
    size: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the outputs for all samples, computed batch by batch."""
    number = count(inputs)
    size = size or min(BATCH, number)
    parts = [call(batch) for batch in batches(inputs, size)]
    return {
        name: np.concatenate([part[name] for part in parts])[:number]
        for name in parts[0]
    }
