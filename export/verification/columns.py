"""Statistics per column, the index of the last axis, over batches of an output.

The last axis may differ in size between batches.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np


def as_rows(batch: np.ndarray) -> np.ndarray:
    """Return a batch as rows of columns; a vector is a single column."""
    return batch.reshape(-1, batch.shape[-1] if batch.ndim > 1 else 1)


def largest_values(batches: Sequence[np.ndarray]) -> np.ndarray:
    """Return the largest absolute value per column; NaN if one holds NaN."""
    return maxima_over(
        [
            np.abs(as_rows(batch.astype("float64"))).max(axis=0)
            for batch in batches
        ]
    )


def large_rows(batches, scale: np.ndarray) -> np.ndarray:
    """Return, per column, how many values are as large as its range / 16."""
    counts = np.zeros(len(scale), int)
    for rows in map(as_rows, batches):
        width = rows.shape[1]
        large = np.abs(rows) * 16 >= scale[:width]
        counts[:width] += large.sum(axis=0)
    return counts


def largest_errors(outputs, reference) -> np.ndarray:
    """Return the largest difference per column, absolute."""
    return largest_values(
        [
            output.astype("float64") - expected
            for output, expected in zip(outputs, reference, strict=True)
        ]
    )


def rms_errors(outputs, reference) -> np.ndarray:
    """Return the root mean square of the difference per column."""
    parts = [
        np.sqrt(np.square(as_rows(output.astype("float64") - y)).mean(axis=0))
        for output, y in zip(outputs, reference, strict=True)
    ]
    return maxima_over(parts)


def maxima_over(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the maximum over batches; the last axis may differ in size."""
    width = max(map(len, parts))
    return np.max([np.pad(x, (0, width - len(x))) for x in parts], axis=0)


def movement_of(batches) -> np.ndarray:
    """Return the largest range over all samples of a value, per column."""
    return maxima_over(
        [
            as_rows(np.ptp(samples, axis=0)[None]).max(axis=0)
            for samples in _by_shape(batches)
        ]
    )


def error_to_signal(outputs, reference) -> float:
    """Return the power of the error relative to that of the signal.

    The signal is the difference between each sample and the mean of all
    samples of its shape, so that no answer that is the same for every input is
    below 1. It is infinite if the samples do not differ.
    """
    error = signal = 0.0
    for got, expected in zip(
        _by_shape(outputs), _by_shape(reference), strict=True
    ):
        if len(expected) > 1:  # a single sample is its own mean
            error += np.square(got - expected).sum()
            signal += np.square(expected - expected.mean(axis=0)).sum()
    return float(error / signal) if signal else float("inf")


def _by_shape(batches) -> list[np.ndarray]:
    """Return all samples, as one array per shape."""
    found = defaultdict(list)
    for batch in batches:
        batch = np.atleast_1d(batch).astype("float64")
        found[batch.shape[1:]].append(batch)
    return [np.concatenate(samples) for samples in found.values()]
