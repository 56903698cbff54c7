"""Measure how near an artifact's outputs come to those of Keras.

Needs only numpy.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from keras_inception_export.data.rows import parts
from keras_inception_export.logs import column_name

Outputs = Mapping[str, Any]
"""One array, or `Rows`, per name of an output."""
MIN_SNR_DB = 10.0
"""The least signal to noise of any output, and of each of its columns. Below
it, the noise exceeds a third of the signal."""
PROBABILITY_STEP = 1 / 256
"""A probability below this counts as this large: an int8 output has no smaller
steps, and all columns of one distribution have one unit."""
MAX_CLASSES = 100
"""Classes that a confusion matrix may have."""
_BATCH = 256  # samples that are compared together
CONSTANT = 1e-6
"""The deviation of a constant column, relative to its largest value."""
_SPREAD, _MANY = 1 / 20, 3
"""The effective number of values that the deviation of a column comes from, as
a fraction and at least. The fraction is 1/3 if the values are normally
distributed, and p if a fraction p of them differs much."""


@dataclass(frozen=True)
class Measurement:
    """How near one output of an artifact comes to that of Keras.

    Args:
        output: the name of the output.
        snr_db: signal to noise in dB, over all samples and values.
        column_snr_db: signal to noise in dB of the worst column (index of an
            axis); the signal is its deviation from its mean. `None` if no
            column can be judged.
        column: the index of that column.
        axis: the axis of that index, where axis 0 counts the samples; `None`
            for the last.
        max_error: the largest difference, relative to the largest value.
        agreement: the fraction of the samples that get the same class; `None`
            if the output is not one row of scores per sample.
        accuracy: the fraction of the samples that get the class of their
            label; `None` without labels.
        confusion: the number of samples per label (row) and class (column);
            `None` without labels.
        lost_columns: the names of the columns that have too much noise, but
            are not judged.
    """

    output: str
    snr_db: float
    column_snr_db: float | None
    column: int | None
    axis: int | None
    max_error: float
    agreement: float | None
    accuracy: float | None
    confusion: list[list[int]] | None = None
    lost_columns: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The name of the worst column in messages."""
        return column_name(self.column, self.axis)

    @property
    def worst_db(self) -> float:
        """The signal to noise of the output or of its worst column."""
        if self.column_snr_db is None:
            return self.snr_db
        return min(self.snr_db, self.column_snr_db)

    def as_json(self) -> dict[str, Any]:
        """Return the record for `report.json`, in six digits."""
        return {
            key: float(f"{value:.6g}") if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


def measure(
    outputs: Outputs | Iterable[Outputs],
    reference: Outputs,
    labels: np.ndarray | None,
    columns: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> list[Measurement]:
    """Compare an artifact's outputs with those of Keras.

    Args:
        outputs: the artifact's outputs, as a whole or in batches.
        reference: those of Keras on the same samples.
        labels: the classes of the samples, if they are known.
        columns: per output, whether each column is judged, in the order of
            `columns_snr`; if an output is missing, all that vary are.
    """
    if isinstance(outputs, Mapping):
        outputs = _batches(outputs)
    totals: dict[str, _Axes] = {}
    found: dict[str, list[np.ndarray]] = {name: [] for name in reference}
    start = 0
    for batch in outputs:
        end = start + len(next(iter(batch.values())))
        for name in reference:
            got, expected = batch[name], reference[name][start:end]
            totals.setdefault(name, _Axes(expected)).add(got, expected)
            if has_scores(expected):
                found[name].append(classes(got))
        start = end
    records = []
    for name, total in totals.items():
        agreement = accuracy = matrix = None
        if has_scores(reference[name]):
            predicted = np.concatenate(found[name])
            expected = classes_of(reference[name])
            agreement = float(np.mean(predicted == expected))
            if labels is not None and fits_labels(reference[name], labels):
                accuracy = float(np.mean(predicted == labels))
                matrix = confusion(predicted, labels, reference[name].shape[1])
        column_snr, lost = total.columns_snr(), []
        if name in columns:
            low = np.flatnonzero(~columns[name] & (column_snr < MIN_SNR_DB))
            lost = [column_name(*total.place(int(x))) for x in low]
            column_snr[~columns[name]] = np.nan
        worst: float | None = None
        place: tuple[int | None, int | None] = None, None
        if not np.isnan(column_snr).all():
            position = int(np.nanargmin(column_snr.round(6)))  # the first
            place, worst = total.place(position), float(column_snr[position])
        records.append(
            Measurement(
                *(name, total.last.snr(), worst, *place),
                *(total.last.max_error(), agreement, accuracy, matrix, lost),
            )
        )
    return records


def columns_snr(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the signal to noise in dB of each column.

    These are the indices of the last axis, then those of the others: scores
    beside boxes may have any axis. A column that is constant in the reference
    has none: its value is NaN.
    """
    axes = _Axes(expected)
    axes.add(got, expected)
    return axes.columns_snr()


def are_spread(expected: np.ndarray) -> np.ndarray:
    """Return, in the order of `columns_snr`, which columns many values move.

    The others are nearly always the same, as the tip of a ReLU is.
    """
    found = []
    for axis in column_axes(expected):
        rows = columns_of(expected, axis).astype("float64")
        rows -= np.median(rows, axis=0)
        rows /= np.abs(rows).max(axis=0, initial=np.finfo(float).tiny)
        squares = np.square(rows, out=rows)
        many = np.square(squares.sum(axis=0))
        few = np.square(squares, out=squares).sum(axis=0)
        found.append(many > max(_SPREAD * len(rows), _MANY) * few)
    return np.concatenate(found)


def column_axes(expected: np.ndarray) -> list[int]:
    """Return the axes whose indices are columns, the last one first."""
    last = max(expected.ndim - 1, 1)
    return [last, *(i for i in range(1, last) if expected.shape[i] > 1)]


class _Axes:
    """What is added up of two outputs, per index of each axis."""

    def __init__(self, expected: np.ndarray) -> None:
        self._sums = {
            axis: _Sums(columns_of(expected, axis))
            for axis in column_axes(expected)
        }
        self.last = next(iter(self._sums.values()))
        self._probable = True

    def add(self, got: np.ndarray, expected: np.ndarray) -> None:
        got, expected = (x.astype("float64") for x in (got, expected))
        for axis, sums in self._sums.items():
            sums.add(columns_of(got, axis), columns_of(expected, axis))
        self._probable = self._probable and has_probabilities(expected)

    def columns_snr(self) -> np.ndarray:
        least = PROBABILITY_STEP if self._probable else 0.0
        return np.concatenate(
            [sums.columns_snr(least) for sums in self._sums.values()]
        )

    def place(self, position: int) -> tuple[int, int | None]:
        """Return the index and the axis of one value of `columns_snr`."""
        places = [
            (index, None if sums is self.last else axis)
            for axis, sums in self._sums.items()
            for index in range(sums.width)
        ]
        return places[position]


def columns_of(array: np.ndarray, axis: int) -> np.ndarray:
    """Return rows of the indices of an axis; a vector is one column."""
    if array.ndim == 1:
        return array[:, None]
    return np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])


class _Sums:
    """What is added up, per column, of the differences of two outputs."""

    def __init__(self, expected: np.ndarray) -> None:
        self.width = expected.shape[1]
        # The first row instead of the mean, which is not known yet.
        self._center = expected[0].astype("float64")
        self._number = 0
        self._sums = np.zeros((4, self.width))
        self._largest = np.zeros((2, self.width))

    def add(self, got: np.ndarray, expected: np.ndarray) -> None:
        noise, moved = np.abs(got - expected), expected - self._center
        self._number += len(expected)
        self._sums += [
            np.square(x).sum(axis=0) for x in (noise, expected, moved)
        ] + [moved.sum(axis=0)]
        largest = [x.max(axis=0) for x in (noise, np.abs(expected))]
        self._largest = np.maximum(self._largest, largest)

    def snr(self) -> float:
        return _decibel(self._sums[1].sum(), self._sums[0].sum())

    def max_error(self) -> float:
        noise, expected = self._largest.max(axis=1)
        return float(noise / (expected or 1))

    def columns_snr(self, least: float) -> np.ndarray:
        noise, _, squares, moved = self._sums / self._number
        signal = np.maximum(squares - np.square(moved), 0)
        varies = np.sqrt(signal) > CONSTANT * self._largest[1]
        signal = np.maximum(signal, least**2)
        # Where the artifact is not finite, nothing is left of the signal.
        noise = np.where(np.isfinite(noise), noise, np.inf)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.clip(signal / noise, 1e-20, 1e20)
            return np.where(varies, 10 * np.log10(ratio), np.nan)


def _batches(outputs: Outputs) -> Iterator[Outputs]:
    number = len(next(iter(outputs.values())))
    for start in range(0, number, _BATCH):
        rows = slice(start, start + _BATCH)
        yield {name: array[rows] for name, array in outputs.items()}


def has_scores(output: np.ndarray) -> bool:
    """Return whether an output is one row of values per sample."""
    return output.ndim == 2


def fits_labels(output: np.ndarray, labels: np.ndarray) -> bool:
    """Return whether the labels can be classes of this output."""
    number = output.shape[1]
    return bool(labels.max() < max(number, 2) and labels.min() >= 0)


def has_probabilities(output: np.ndarray) -> bool:
    """Return whether each row of scores sums to 1, as probabilities do."""
    return output.shape[-1] > 1 and all(
        (part >= 0).all() and np.allclose(part.sum(axis=-1), 1, atol=1e-3)
        for part in parts(output, _BATCH)
    )


def beats_guessing(output: np.ndarray, labels: np.ndarray) -> bool:
    """Return whether the scores beat always answering the commonest label."""
    commonest = np.bincount(labels).max() / len(labels)
    return bool(np.mean(classes_of(output) == labels) > commonest)


def classes(scores: np.ndarray) -> np.ndarray:
    """Return the class with the largest score of each row.

    A single score is the class 1 above 0.5, else 0.
    """
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0.5).astype("int64")
    return scores.argmax(axis=1)


def classes_of(scores: Any) -> np.ndarray:
    """Return the classes of scores, of which a part is read at a time."""
    return np.concatenate([classes(part) for part in parts(scores, _BATCH)])


def confusion(
    predicted: np.ndarray, labels: np.ndarray, width: int
) -> list[list[int]] | None:
    """Return the number of samples per label (row) and class (column).

    One score stands for two classes. More than `MAX_CLASSES`: `None`.
    """
    number = max(width, 2)
    if number > MAX_CLASSES:
        return None
    counts = np.zeros((number, number), "int64")
    np.add.at(counts, (labels, predicted), 1)
    return counts.tolist()


def _decibel(signal: float, noise: float) -> float:
    """Return the ratio of two powers in dB, limited to -200 and 200."""
    if not signal:
        return -200.0 if noise else 200.0
    ratio = signal / max(noise, signal / 1e20)
    return float(10 * np.log10(np.clip(ratio, 1e-20, 1e20)))
