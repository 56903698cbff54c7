"""Columns that few samples move are named."""

import numpy as np
import pytest

from keras_inception_export.quantization.rare_columns import (
    rare_columns,
    warnings_of,
)

NORMAL = np.random.default_rng(0).normal(size=(200, 6, 5))


def moved_by(samples, shape=(200, 6, 5), index=3):
    """Return values of which one column differs in a few samples."""
    array = NORMAL.reshape(shape).copy()
    array[..., index] = 0.01 * array[..., index] + 100
    array[:samples, ..., index] += 10
    return array


@pytest.mark.parametrize(
    ("output", "expected"),
    {
        "one sample": (moved_by(1), ["column 3"]),
        "two samples": (moved_by(2), ["column 3"]),
        "four samples": (moved_by(4), []),
        "all": (NORMAL, []),
        "another axis": (
            moved_by(1).swapaxes(1, 2),
            ["column 3 of axis 1"],
        ),
        "positions": (np.tile(NORMAL, (1, 50, 1)) * 0 + NORMAL[:, :1], []),
        "a vector": (moved_by(1, (200, 30))[:, 3], ["column 0"]),
        "constant": (0 * NORMAL + 7, []),
        "few in all": (moved_by(1)[:20], []),
    }.values(),
)
def test_columns_that_few_samples_move(output, expected):
    assert rare_columns(output) == expected


def test_classes_are_not_columns():
    scores = np.full((200, 4), 0.001)
    scores[np.arange(200), (np.arange(200) == 7).astype(int)] = 0.997
    assert rare_columns(scores) == []
    assert rare_columns(10 * scores) == ["column 0", "column 1"]


def test_three_columns_are_named():
    array = moved_by(1, index=slice(0, 4))
    assert warnings_of({"boxes": array, "other": NORMAL}) == [
        "of 200 samples, fewer than 3 move column 0, column 1, column 2 and 1 "
        'others of output "boxes", so nothing is known of its accuracy on '
        "others; add samples that do"
    ]
