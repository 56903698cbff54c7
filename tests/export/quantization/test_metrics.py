"""Signal to noise, agreement and accuracy, computed by hand."""

import numpy as np
import pytest

from keras_inception_export.quantization.metrics import measure

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
