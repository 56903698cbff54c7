"""Samples, a batch at a time.

Needs numpy alone.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

BATCH = 16
"""Samples a call where the batch size is free."""
Arrays = Mapping[str, np.ndarray]


def batches(inputs: Arrays, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches of one size; the last sample fills up the last one.

    Args:
        inputs: an array a name, each with one row a sample.
        size: samples a batch.
    """
    number = len(next(iter(inputs.values())))
    for start in range(0, number, size):
        rows = np.minimum(np.arange(start, start + size), number - 1)
        yield {name: array[rows] for name, array in inputs.items()}


def run(
    call: Callable[[dict[str, np.ndarray]], Arrays],
    inputs: Arrays,
    size: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the outputs of all samples, computed batch by batch.

    Args:
        call: computes the outputs of one batch, by name.
        inputs: an array a name, each with one row a sample.
        size: samples a call where it is fixed. Defaults to `None`: free.
    """
    number = len(next(iter(inputs.values())))
    size = size or min(BATCH, number)
    parts = [call(batch) for batch in batches(inputs, size)]
    return {
        name: np.concatenate([part[name] for part in parts])[:number]
        for name in parts[0]
    }
