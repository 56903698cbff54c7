"""Statistics and tolerances per column, the index of the last axis.

The last axis may differ in size between the batches of an output.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from keras_inception_export.bundle.bundle import USUAL
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.probes import Probes

EPSILON = float(np.finfo("float32").eps)
FACTOR = 8.0
FLOOR = 16 * EPSILON
SIMILAR = 6
"""Columns whose ranges differ by less than 2**6 share the error of Keras."""

MIN_ROWS = 4
"""With fewer values of the size of its range, a column's range may be small by
chance, as that of a rectified channel that is hardly ever positive. Its share
of the output's range is then that of all regimes."""

LONG_ROW = 2**12
"""Values of rows that are joined before they are reduced."""

NOISE = 0.1
"""A column in which Keras differs by more than this part of the range holds
rounding noise. It is compared with the noise, and loosens no other column."""


@dataclass(frozen=True)
class Columns:
    """The columns of one output in one regime, one value per column.

    Args:
        scale: the range that errors are relative to.
        keras_error: the error of Keras in float32, absolute.
        allowed: the tolerance, absolute.
        noise: whether the column holds nothing but rounding noise.
    """

    scale: np.ndarray
    keras_error: np.ndarray
    allowed: np.ndarray
    noise: np.ndarray

    def worst(self, error: np.ndarray) -> tuple[float, int]:
        """Return the largest error in tolerances, and its column."""
        infinite = np.where(error > 0, np.inf, 0.0)
        positive = self.allowed > 0
        ratio = np.divide(error, self.allowed, out=infinite, where=positive)
        shown = np.where(self.noise & (ratio <= 1), 0.0, ratio)
        column = int(shown.argmax())
        return float(ratio[column]), column


def as_rows(batch: np.ndarray) -> np.ndarray:
    """Return a batch as rows of columns; a vector is a single column."""
    return batch.reshape(-1, batch.shape[-1] if batch.ndim > 1 else 1)


def largest_values(batches: Sequence[np.ndarray]) -> np.ndarray:
    """Return the largest absolute value per column; NaN if one holds NaN."""
    found = []
    for batch in batches:
        rows = as_rows(batch)
        if rows.dtype.kind != "f":
            rows = rows.astype("float64")
        parts = [
            np.maximum(joined.max(axis=0), -joined.min(axis=0))
            for joined in _joined_rows(rows)
        ]
        largest = np.concatenate(parts).reshape(-1, rows.shape[1]).max(axis=0)
        found.append(largest.astype("float64"))
    return maxima_over(found)


def large_rows(batches, scale: np.ndarray) -> np.ndarray:
    """Return, per column, how many values are as large as its range / 16."""
    counts = np.zeros(len(scale), int)
    for rows in map(as_rows, batches):
        width = rows.shape[1]
        parts = []
        for joined in _joined_rows(rows):
            limits = np.tile(scale[:width] / 16, joined.shape[1] // width)
            parts.append((np.abs(joined) >= limits).sum(axis=0))
        counts[:width] += np.concatenate(parts).reshape(-1, width).sum(axis=0)
    return counts


def _joined_rows(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield all rows, short ones next to each other.

    NumPy reduces the first axis of (4,000,000, 3) in 15 times the time of that
    of (3,000, 4,000).
    """
    width = rows.shape[1]
    number = max(1, LONG_ROW // width)
    whole = len(rows) // number * number
    if whole:
        yield rows[:whole].reshape(-1, number * width)
    if whole < len(rows):
        yield rows[whole:]


def errors_of(outputs, reference) -> list[np.ndarray]:
    """Return the differences of batches."""
    return [
        output.astype("float64") - expected
        for output, expected in zip(outputs, reference, strict=True)
    ]


def rms_values(batches: Sequence[np.ndarray]) -> np.ndarray:
    """Return the root mean square per column."""
    return maxima_over(
        [np.sqrt(np.square(as_rows(batch)).mean(axis=0)) for batch in batches]
    )


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


def columns_of(
    probes: Probes, spec: TensorSpec, factor: float = FACTOR
) -> dict[str, Columns]:
    """Return the columns of one output, for each regime of the probes."""
    scales, errors, rows = {}, {}, {}
    for regime, batches in probes.by_regime().items():
        reference = [probes.reference[index][spec.name] for index in batches]
        keras = [probes.keras[index][spec.name] for index in batches]
        scales[regime] = largest_values(reference)
        errors[regime] = largest_values(errors_of(keras, reference))
        rows[regime] = large_rows(reference, scales[regime])
    shares = _shares(list(scales.values()), list(rows.values()))
    floor = FLOOR if spec.dtype.startswith(("float", "bfloat")) else 0.0
    floor *= factor / FACTOR
    found = {}
    for regime, scale in scales.items():
        whole = scale.max()
        if shares is not None:
            common = np.maximum(scale, shares * whole)
            scale = np.where(rows[regime] < MIN_ROWS, common, scale)
        error = errors[regime]
        noise = error >= NOISE * scale  # so is a column of zeros
        pooled = _pooled(scale, np.where(noise, 0.0, error))
        allowed = np.where(
            noise,
            np.maximum(factor * error, floor / 16 * whole),
            np.maximum(factor * pooled, floor * scale),
        )
        if floor:  # runtimes may round the smallest numbers to zero
            allowed += 16 * np.finfo("float32").tiny
        error = np.where(noise, error, pooled)
        found[regime] = Columns(scale, error, allowed, noise)
    usual = [found[name].allowed for name in USUAL if name in found]
    for columns in found.values():
        if columns.allowed.shape == usual[-1].shape:
            # What is zero here, as after a normalization of constant values,
            # may be as inexact as on usual inputs.
            least = np.where(columns.noise, usual[-1], 0.0)
            np.maximum(columns.allowed, least, out=columns.allowed)
    return found


def _shares(scales, rows) -> np.ndarray | None:
    """Return each column's largest share of the output's range.

    It is 1 for a column that has too few values in all regimes together.
    """
    if len({len(scale) for scale in scales}) != 1:
        return None
    parts = [scale / (scale.max() or 1.0) for scale in scales]
    return np.where(np.sum(rows, axis=0) < MIN_ROWS, 1.0, np.max(parts, axis=0))


def _pooled(scale: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the largest error of the columns of similar range."""
    exponent = np.frexp(scale)[1]
    found, positions = np.unique(exponent, return_inverse=True)
    largest = np.zeros(len(found))
    np.maximum.at(largest, positions, error)
    near = np.abs(found[:, None] - found) < SIMILAR
    return np.where(near, largest, 0.0).max(axis=1)[positions]
