"""Signal to noise, agreement and accuracy, computed by hand."""

import numpy as np
import pytest

from keras_inception_export.quantization.metrics import (
    are_spread,
    columns_snr,
    measure,
)

REFERENCE = np.float32([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.2, 0.8]])
LABELS = np.array([0, 1, 0, 0])


def measured(output, labels=None, reference=REFERENCE):
    (record,) = measure({"y": output}, {"y": reference}, labels)
    return record


def test_noise_of_a_tenth_of_the_signal_is_20_db():
    record = measured(REFERENCE * 1.1)
    assert record.snr_db == pytest.approx(20, abs=1e-4)
    assert record.max_error == pytest.approx(0.1, rel=1e-5)


def test_signal_to_noise_of_equal_outputs_is_limited():
    assert measured(REFERENCE).snr_db == 200


def test_agreement_and_accuracy_count_classes():
    output = REFERENCE.copy()
    output[0] = 0.4, 0.6
    record = measured(output, LABELS)
    assert (record.agreement, record.accuracy) == (0.75, 0.5)
    assert measured(REFERENCE, LABELS).accuracy == 0.75


def test_a_single_score_above_a_half_is_class_1():
    scores = np.float32([[0.9], [0.2], [0.4]])
    record = measured(scores + 0.2, np.array([1, 0, 1]), scores)
    assert record.agreement == pytest.approx(2 / 3)
    assert record.accuracy == 1


def test_feature_maps_have_no_classes():
    maps = np.ones((2, 3, 3, 4), "float32")
    record = measured(maps, np.array([0, 1]), maps)
    assert record.agreement is None and record.accuracy is None


UNEVEN = np.float32([640, 640, 1]) * np.random.default_rng(0).random(
    (40, 3), "float32"
)
CLASSES = np.eye(1000, dtype="float32")[np.arange(40) % 20]
ROUNDED = np.rint(256 * (0.999 * CLASSES + 1e-6)) / 256


@pytest.mark.parametrize(
    ("output", "reference", "column", "decibel"),
    {
        "a lost column": (UNEVEN * [1, 1, 0], UNEVEN, 2, -5.8),
        "the same noise in all": (UNEVEN + 0.1, UNEVEN, 2, 9.3),
        "constants": (UNEVEN, UNEVEN * 0 + 7, None, 0),
        "not finite": (UNEVEN * [1, np.nan, 1], UNEVEN, 1, -200),
        "maps": (UNEVEN.reshape(2, 4, 5, 3) * [1, 1, 0.9], None, 2, 14.2),
        "one value": (UNEVEN[:, 0] * 1.1, UNEVEN[:, 0], 0, 13.6),
        "rare classes": (ROUNDED, 0.999 * CLASSES + 1e-6, 0, 59.8),
    }.values(),
)
def test_the_worst_column(output, reference, column, decibel):
    if reference is None:
        reference = UNEVEN.reshape(output.shape)
    record = measured(np.float32(output), reference=np.float32(reference))
    assert record.column == column
    if column is not None:
        assert record.column_snr_db == pytest.approx(decibel, abs=1)
        assert not record.worst_db > record.column_snr_db


@pytest.mark.parametrize("axis", (1, 2, 3))
def test_columns_may_have_any_axis(axis):
    """A Permute or a Reshape does not hide scores beside boxes."""
    maps = UNEVEN.reshape(8, 1, 5, 3)
    lost = np.swapaxes(maps * [1, 1, 0], axis, -1)
    record = measured(lost, reference=np.swapaxes(maps, axis, -1))
    assert record.column == 2 and record.column_snr_db < 0
    assert record.axis == (None if axis == 3 else axis)
    assert record.place == "column 2" + (axis < 3) * f" of axis {axis}"


def test_columns_that_are_not_judged_are_left_out():
    judged = {"y": np.array([True, True, False])}
    (record,) = measure(
        {"y": UNEVEN * [1.1, 1.2, 0]}, {"y": UNEVEN}, None, judged
    )
    assert record.column == 1
    assert record.lost_columns == ["column 2"]


def test_columns_that_few_values_move():
    rows = np.zeros((200, 4))
    rows[:, 0] = np.random.default_rng(0).normal(size=200)
    rows[::10, 1] = 1
    rows[::100, 2] = 1
    assert are_spread(rows + 5).tolist() == [True, True, False, False]
    assert not are_spread(rows[1:20])[1]
    maps = rows.reshape(100, 2, 4)
    assert are_spread(maps)[:4].tolist() == [True, True, False, False]
    assert len(are_spread(maps)) == len(columns_snr(maps, maps)) == 6
