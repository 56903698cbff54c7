"""Measure how near an artifact's outputs come to those of Keras.

Needs only numpy.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

Outputs = Mapping[str, np.ndarray]
PROBABILITY_STEP = 1 / 256
"""A probability below this counts as this large: an int8 output has no smaller
steps, and all columns of one distribution have one unit."""
MAX_CLASSES = 100
"""Classes that a confusion matrix may have."""
_CONSTANT = 1e-6  # deviation of a column, relative to its largest value


@dataclass(frozen=True)
class Measurement:
    """How near one output of an artifact comes to that of Keras.

    Args:
        output: the name of the output.
        snr_db: signal to noise in dB, over all samples and values.
        column_snr_db: signal to noise in dB of the worst column (index of the
            last axis); the signal is its deviation from its mean. `None` if no
            column can be judged.
        column: the index of that column.
        max_error: the largest difference, relative to the largest value.
        agreement: the fraction of the samples that get the same class; `None`
            if the output is not one row of scores per sample.
        accuracy: the fraction of the samples that get the class of their
            label; `None` without labels.
        confusion: the number of samples per label (row) and class (column);
            `None` without labels.
    """

    output: str
    snr_db: float
    column_snr_db: float | None
    column: int | None
    max_error: float
    agreement: float | None
    accuracy: float | None
    confusion: list[list[int]] | None = None

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
    outputs: Outputs,
    reference: Outputs,
    labels: np.ndarray | None,
    columns: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> list[Measurement]:
    """Compare an artifact's outputs with those of Keras.

    Args:
        outputs: the artifact's outputs.
        reference: those of Keras on the same samples.
        labels: the classes of the samples, if they are known.
        columns: per output, whether each column is judged; if an output is
            missing, all of its columns are that vary.
    """
    records = []
    for name, expected in reference.items():
        got = outputs[name].astype("float64")
        noise = np.abs(got - expected)
        signal = np.square(expected, dtype="float64").sum()
        snr = _decibel(signal, np.square(noise).sum())
        error = float(noise.max() / (np.abs(expected).max() or 1))
        agreement = accuracy = matrix = None
        if has_scores(expected):
            agreement = _fraction(classes(got), classes(expected))
            if labels is not None and fits_labels(expected, labels):
                accuracy = _fraction(classes(got), labels)
                matrix = confusion(got, labels)
        column_snr = columns_snr(got, expected)
        if name in columns:
            column_snr[~columns[name]] = np.nan
        column = worst = None
        if not np.isnan(column_snr).all():
            column = int(np.nanargmin(column_snr))
            worst = float(column_snr[column])
        records.append(
            Measurement(
                *(name, snr, worst, column, error),
                *(agreement, accuracy, matrix),
            )
        )
    return records


def columns_snr(got: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the signal to noise in dB of each column of the last axis.

    A column that is constant in the reference has none: its value is NaN.
    """
    width = expected.shape[-1] if expected.ndim > 1 else 1
    expected = expected.reshape(-1, width).astype("float64")
    noise = np.square(got.reshape(-1, width) - expected).mean(axis=0)
    deviation = expected.std(axis=0)
    varies = deviation > _CONSTANT * np.abs(expected).max(axis=0)
    if has_probabilities(expected):
        deviation = np.maximum(deviation, PROBABILITY_STEP)
    signal = np.square(deviation)
    # Where the artifact is not finite, nothing is left of the signal.
    noise = np.where(np.isfinite(noise), noise, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(signal / noise, 1e-20, 1e20)
        return np.where(varies, 10 * np.log10(ratio), np.nan)


def has_scores(output: np.ndarray) -> bool:
    """Return whether an output is one row of values per sample."""
    return output.ndim == 2


def fits_labels(output: np.ndarray, labels: np.ndarray) -> bool:
    """Return whether the labels can be classes of this output."""
    number = output.shape[1]
    return bool(labels.max() < max(number, 2) and labels.min() >= 0)


def has_probabilities(output: np.ndarray) -> bool:
    """Return whether each row of scores sums to 1, as probabilities do."""
    positive = output.shape[-1] > 1 and bool((output >= 0).all())
    return positive and bool(np.allclose(output.sum(axis=-1), 1, atol=1e-3))


def beats_guessing(output: np.ndarray, labels: np.ndarray) -> bool:
    """Return whether the scores beat always answering the commonest label."""
    commonest = np.bincount(labels).max() / len(labels)
    return _fraction(classes(output), labels) > commonest


def classes(scores: np.ndarray) -> np.ndarray:
    """Return the class with the largest score of each row.

    A single score is the class 1 above 0.5, else 0.
    """
    if scores.shape[1] == 1:
        return (scores[:, 0] > 0.5).astype("int64")
    return scores.argmax(axis=1)


def confusion(scores: np.ndarray, labels: np.ndarray) -> list[list[int]] | None:
    """Return the number of samples per label (row) and class (column).

    `None` if there are more than `MAX_CLASSES` classes, or the labels are no
    classes of these scores.
    """
    number = max(scores.shape[1], 2) if has_scores(scores) else 0
    if not 0 < number <= MAX_CLASSES or not fits_labels(scores, labels):
        return None
    counts = np.zeros((number, number), "int64")
    np.add.at(counts, (labels, classes(scores)), 1)
    return counts.tolist()


def _fraction(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the fraction of equal elements."""
    return float(np.mean(found == expected))


def _decibel(signal: float, noise: float) -> float:
    """Return the ratio of two powers in dB, limited to -200 and 200."""
    if not signal:
        return -200.0 if noise else 200.0
    ratio = signal / max(noise, signal / 1e20)
    return float(10 * np.log10(np.clip(ratio, 1e-20, 1e20)))
