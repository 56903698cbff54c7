"""Columns of outputs that too few samples move to be measured.

What one object in 400 images does to its column is measured on one image. In
a detector, that was 26.5 dB for int8, and 1.2 dB on other images.
"""

import numpy as np

from keras_inception_export.data.rows import parts
from keras_inception_export.logs import column_name, first_names
from keras_inception_export.quantization import metrics

FEW = 3
"""The effective number of samples that are too few."""
ENOUGH = 30
"""Samples of which a third, as of normally distributed values, are not few."""
MAX_WIDTH = 256
"""Longer axes than this, but for the last one, are positions."""


def warnings_of(reference: metrics.Outputs) -> list[str]:
    """Return one sentence per output with columns that few samples move."""
    warnings = []
    for name, array in reference.items():
        columns = rare_columns(array)
        if columns:
            warnings.append(
                f"of {len(array)} samples, fewer than {FEW} move "
                f'{first_names(columns)} of output "{name}", so '
                "nothing is known of its accuracy on others; add samples that "
                "do"
            )
    return warnings


def rare_columns(expected: np.ndarray) -> list[str]:
    """Return the names of the columns that fewer than `FEW` samples move.

    The columns of probabilities are classes, whose agreement is measured.

    Args:
        expected: one output of Keras on all samples; an array or `Rows`.
    """
    if len(expected) < ENOUGH or metrics.has_probabilities(expected):
        return []
    names = []
    for axis in metrics.column_axes(expected):
        is_last = axis == max(expected.ndim - 1, 1)
        width = metrics.columns_of(expected[:1], axis).shape[1]
        if is_last or width <= MAX_WIDTH:
            rare = np.flatnonzero(_moved_by_few(expected, axis))
            number = None if is_last else axis
            names += [column_name(int(index), number) for index in rare]
    return names


def _moved_by_few(expected: np.ndarray, axis: int) -> np.ndarray:
    """Return which columns owe their deviation to fewer than `FEW` samples."""
    center = metrics.columns_of(expected[:1], axis).mean(
        axis=0, dtype="float64"
    )
    found = []
    for part in parts(expected):
        rows = metrics.columns_of(part, axis) - center
        rows = rows.reshape(len(part), -1, len(center))
        sums = rows.sum(axis=1), np.square(rows).sum(axis=1)
        found.append([*sums, abs(rows).max(axis=1)])
    sums, squares, largest = np.concatenate(found, axis=1)
    positions = expected[:1].size / len(center)
    mean = sums.mean(axis=0) / positions
    energy = np.maximum(squares - mean * (2 * sums - positions * mean), 0)
    varies = largest.max(axis=0) > metrics.CONSTANT * np.abs(center)
    few = energy.sum(axis=0) ** 2 < FEW * np.square(energy).sum(axis=0)
    return few & varies
