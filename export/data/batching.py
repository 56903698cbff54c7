"""Cut samples into batches, and compute a model's outputs batch by batch."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

BATCH = 16
"""Samples per call where the batch size is free."""
Arrays = Mapping[str, np.ndarray]


def batches(inputs: Arrays, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches of equal size; the last sample pads the last batch."""
    number = len(next(iter(inputs.values())))
    for start in range(0, number, size):
        rows = np.minimum(np.arange(start, start + size), number - 1)
        yield {name: array[rows] for name, array in inputs.items()}


def run(
    call: Callable[[dict[str, np.ndarray]], Arrays],
    inputs: Arrays,
    size: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the outputs for all samples, computed batch by batch."""
    number = len(next(iter(inputs.values())))
    size = size or min(BATCH, number)
    parts = [call(batch) for batch in batches(inputs, size)]
    return {
        name: np.concatenate([part[name] for part in parts])[:number]
        for name in parts[0]
    }
