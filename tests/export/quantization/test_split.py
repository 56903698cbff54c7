"""Calibration and evaluation samples are disjoint."""

import numpy as np
import pytest

from keras_inception_export.data.samples import Samples
from keras_inception_export.errors import RequestError
from keras_inception_export.quantization.split import part_hashes, split


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


def windows(number, steps=20, shuffled=False, shape=(2,)):
    size = number + steps, *shape
    series = np.random.default_rng(0).normal(size=size).cumsum(0)
    rows = np.arange(number)
    if shuffled:
        rows = np.random.default_rng(1).permutation(number)
    array = np.stack([series[row : row + steps] for row in rows])
    return Samples({"series": array.astype("float32")}, rows)


@pytest.mark.parametrize("shape", [(), (2,), (3, 3, 1)])
def test_windows_of_one_series_do_not_evaluate_next_to_calibration(shape):
    parts = split(windows(400, shape=shape), 200)
    first, second = parts.calibration.labels, parts.evaluation.labels
    np.testing.assert_array_equal(first, np.arange(200))
    # Eleven steps of twenty in common are a half.
    np.testing.assert_array_equal(second, np.arange(210, 400))
    assert not parts.overlapping


def test_samples_that_all_overlap_are_told():
    assert split(windows(400, shuffled=True)).overlapping
    assert not split(numbered(400)).overlapping


@pytest.mark.parametrize("shape", [(6,), (8, 2), (4, 4, 1)])
def test_copies_do_not_evaluate_what_they_calibrate(shape):
    arrays = np.random.default_rng(0).random((100, *shape))
    repeated = np.concatenate([arrays, arrays[:40]])
    parts = split(Samples({"x": repeated}, np.arange(140) % 100), 70)
    first, second = parts.calibration.labels, parts.evaluation.labels
    assert not set(first) & set(second)
    assert len(second) > 35


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32", "int64"])
@pytest.mark.parametrize("width", [1, 3])
def test_equal_halves_have_equal_hashes(dtype, width):
    random = np.random.default_rng(0).integers(0, 2, (30, 7, width))
    samples = random.astype(dtype)
    hashes = part_hashes(samples if width > 1 else samples[..., 0])
    found = {}
    for sample, row in zip(samples, hashes, strict=True):
        parts = [sample, *(sample[start : start + 4] for start in range(4))]
        for part, number in zip(parts, row, strict=True):
            constant = len(np.unique(part)) == 1
            assert (not number) == constant
            if not constant:
                assert found.setdefault(part.tobytes(), number) == number
    assert len(set(found.values())) == len(found)


def test_padding_is_no_common_part():
    arrays = np.random.default_rng(0).random((100, 12, 1))
    arrays[:, 4:] = 0
    parts = split(Samples({"x": arrays}), 40)
    assert len(parts.evaluation) == 60
