"""Signal to noise, agreement and accuracy, worked out by hand."""

import numpy as np
import pytest

from keras_inception_export.errors import RequestError
from keras_inception_export.quantization.acceptance import AcceptanceCriteria
from keras_inception_export.quantization.metrics import measure

KERAS = np.array([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.2, 0.8]], "float32")
LABELS = np.array([0, 1, 0, 0])


def one(output, labels=None, reference=KERAS):
    (record,) = measure({"y": output}, {"y": reference}, labels)
    return record


def test_a_tenth_of_the_signal_is_20_db():
    assert one(KERAS * 1.1).snr_db == pytest.approx(20, abs=1e-4)
    assert one(KERAS * 1.1).max_error == pytest.approx(0.1, rel=1e-5)


def test_an_equal_output_has_no_noise():
    assert one(KERAS).snr_db == 200


def test_agreement_and_accuracy_count_classes():
    output = KERAS.copy()
    output[0] = 0.4, 0.6
    record = one(output, LABELS)
    assert (record.agreement, record.accuracy) == (0.75, 0.5)
    assert one(KERAS, LABELS).accuracy == 0.75


def test_one_score_is_a_class_from_a_half_on():
    scores = np.array([[0.9], [0.2], [0.4]], "float32")
    record = one(scores + 0.2, np.array([1, 0, 1]), scores)
    assert record.agreement == pytest.approx(2 / 3)
    assert record.accuracy == 1


def test_feature_maps_have_no_classes():
    maps = np.ones((2, 3, 3, 4), "float32")
    record = one(maps, np.array([0, 1]), maps)
    assert record.agreement is None and record.accuracy is None


MAPS = np.ones((4, 2, 2, 1), "float32")
LOGITS = KERAS * 3
FEATURES = np.random.default_rng(0).normal(size=(4, 512)).astype("float32")
SIGMOID = np.array([[0.9], [0.2], [0.4], [0.1]], "float32")


def classifiers(outputs, labels, **asked):
    reference = measure(outputs, outputs, labels)
    return set(
        AcceptanceCriteria.of(reference, outputs, labels, **asked).classifiers
    )


@pytest.mark.parametrize(
    ("outputs", "labels", "asked", "expected"),
    [
        ({"p": KERAS}, None, {}, {"p"}),
        ({"p": KERAS, "f": FEATURES}, LABELS, {}, {"p"}),
        ({"p": KERAS, "f": FEATURES}, None, {"min_agreement": 0.9}, {"p"}),
        ({"x": LOGITS}, None, {}, set()),
        ({"x": LOGITS}, LABELS, {}, set()),
        ({"x": LOGITS}, LABELS[[0, 1, 2, 1]], {}, {"x"}),
        ({"x": LOGITS}, None, {"min_agreement": 0.9}, {"x"}),
        ({"x": LOGITS}, LABELS, {"max_accuracy_drop": 0.1}, {"x"}),
        ({"f": FEATURES}, LABELS, {}, set()),
        ({"s": SIGMOID}, None, {}, set()),
        ({"s": SIGMOID}, None, {"min_agreement": 0.9}, {"s"}),
        ({"s": SIGMOID}, np.array([1, 0, 1, 0]), {}, {"s"}),
        ({"m": MAPS}, None, {}, set()),
        ({"m": MAPS}, LABELS, {}, set()),
        ({"p": KERAS, "f": FEATURES}, 9 + LABELS, {}, {"p"}),
        (
            {"p": KERAS, "f": FEATURES},
            9 + LABELS,
            {"max_accuracy_drop": 0.1},
            {"p", "f"},
        ),
    ],
)
def test_which_outputs_are_scores_of_classes(outputs, labels, asked, expected):
    assert classifiers(outputs, labels, **asked) == expected


@pytest.mark.parametrize(
    ("outputs", "labels", "asked", "message"),
    [
        ({"p": KERAS}, LABELS + 1, {}, "labels, 1 to 2, are classes of no"),
        ({"m": MAPS}, None, {"min_agreement": 0.9}, "which no output has"),
        ({"p": KERAS}, None, {"max_accuracy_drop": 0.1}, "needs .* labels"),
    ],
)
def test_a_guard_that_applies_to_nothing_is_refused(
    outputs, labels, asked, message
):
    with pytest.raises(RequestError, match=message):
        classifiers(outputs, labels, **asked)


def test_the_limit_itself_is_kept():
    """0.98 less 0.975 is 0.0050000000000000044."""
    labels = np.zeros(1000, int)

    def right(number):
        scores = np.tile(np.float32([0.1, 0.9]), (1000, 1))
        scores[:number] = 0.9, 0.1
        return {"y": scores}

    def findings(number):
        measured = measure(right(number), right(980), labels)
        return held.findings(measured)

    keras = measure(right(980), right(980), labels)
    held = AcceptanceCriteria.of(keras, right(980), labels, 0.99, 0.005)
    assert not findings(975)
    assert "97.40%" in findings(974)[0]


def criteria(**asked):
    keras = measure({"y": KERAS}, {"y": KERAS}, LABELS)
    return AcceptanceCriteria.of(keras, {"y": KERAS}, LABELS, **asked)


def test_the_guard_tells_what_is_missed():
    output = KERAS.copy()
    output[0] = 0.4, 0.6
    measured = measure({"y": output}, {"y": KERAS}, LABELS)
    findings = criteria(min_agreement=0.8, max_accuracy_drop=0.2).findings(
        measured
    )
    assert [text.partition(",")[0] for text in findings] == [
        'output "y" agrees with Keras on 75.00% of the samples',
        'output "y" is right on 50.00% of the samples',
    ]
    assert not criteria(min_agreement=0.75, max_accuracy_drop=0.25).findings(
        measured
    )


def test_noise_is_never_let_through():
    measured = measure({"y": KERAS * 1.5}, {"y": KERAS}, LABELS)
    (finding,) = criteria(min_agreement=0, max_accuracy_drop=1).findings(
        measured
    )
    assert "6.0 dB" in finding
