"""Calibration and evaluation samples are disjoint."""

import numpy as np
import pytest

from keras_inception_export.data.samples import Samples
from keras_inception_export.errors import RequestError
from keras_inception_export.quantization.split import split


def numbered(number):
    rows = np.arange(number)
    return Samples({"image": rows[:, None].astype("float32")}, rows)


@pytest.mark.parametrize(
    ("number", "requested", "calibration"),
    [(1000, 200, 200), (100, 200, 50), (21, 200, 10), (100, 7, 7)],
)
def test_parts_are_disjoint_and_complete(number, requested, calibration):
    parts = split(numbered(number), requested)
    first, second = parts.calibration.labels, parts.evaluation.labels
    assert len(first) == calibration
    assert sorted([*first, *second]) == list(range(number))
    image = parts.evaluation.inputs["image"]
    np.testing.assert_array_equal(image[:, 0], second)


def test_the_split_is_shuffled_and_repeatable():
    first, second = (split(numbered(500)).calibration.labels for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, np.arange(200))


def test_too_few_samples_are_refused():
    with pytest.raises(RequestError, match="at least 20.*got 19"):
        split(numbered(19))
