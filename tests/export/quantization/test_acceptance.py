"""The acceptance criteria: where they apply, and what fails them."""

import numpy as np
import pytest

from keras_inception_export.errors import RequestError
from keras_inception_export.quantization.acceptance import AcceptanceCriteria
from keras_inception_export.quantization.metrics import measure

PROBABILITIES = np.float32([[0.6, 0.4], [0.3, 0.7], [0.9, 0.1], [0.2, 0.8]])
LABELS = np.array([0, 1, 0, 0])
MAPS = np.ones((4, 2, 2, 1), "float32")
LOGITS = PROBABILITIES * 3
FEATURES = np.random.default_rng(0).normal(size=(4, 512)).astype("float32")
SIGMOID = np.float32([[0.9], [0.2], [0.4], [0.1]])
P, F = PROBABILITIES, FEATURES


def criteria(outputs, labels, **limits):
    return AcceptanceCriteria.of(outputs, labels, **limits)


@pytest.mark.parametrize(
    ("outputs", "labels", "limits", "expected"),
    [
        ({"p": P}, None, {}, {"p"}),
        ({"p": P, "f": F}, LABELS, {}, {"p"}),
        ({"p": P, "f": F}, None, {"min_agreement": 0.9}, {"p"}),
        ({"x": LOGITS}, None, {}, set()),
        ({"x": LOGITS}, LABELS, {}, set()),
        ({"x": LOGITS}, LABELS[[0, 1, 2, 1]], {}, {"x"}),
        ({"x": LOGITS}, None, {"min_agreement": 0.9}, {"x"}),
        ({"x": LOGITS}, LABELS, {"max_accuracy_drop": 0.1}, {"x"}),
        ({"f": F}, LABELS, {}, set()),
        ({"s": SIGMOID}, None, {}, set()),
        ({"s": SIGMOID}, None, {"min_agreement": 0.9}, {"s"}),
        ({"s": SIGMOID}, np.array([1, 0, 1, 0]), {}, {"s"}),
        ({"m": MAPS}, None, {}, set()),
        ({"m": MAPS}, LABELS, {}, set()),
        ({"p": P, "f": F}, 9 + LABELS, {}, {"p"}),
        (
            {"p": P, "f": F},
            9 + LABELS,
            {"max_accuracy_drop": 0.1},
            {"p", "f"},
        ),
    ],
)
def test_which_outputs_are_class_scores(outputs, labels, limits, expected):
    assert criteria(outputs, labels, **limits).classifiers == expected


@pytest.mark.parametrize(
    ("outputs", "labels", "limits", "message"),
    [
        ({"p": P}, LABELS + 1, {}, "labels, 1 to 2, are classes of no"),
        ({"m": MAPS}, None, {"min_agreement": 0.9}, "which no output has"),
        ({"p": P}, None, {"max_accuracy_drop": 0.1}, "needs .* labels"),
    ],
)
def test_a_limit_that_applies_to_no_output_is_refused(
    outputs, labels, limits, message
):
    with pytest.raises(RequestError, match=message):
        criteria(outputs, labels, **limits)


def test_a_drop_equal_to_the_limit_passes():
    """0.98 less 0.975 is 0.0050000000000000044."""
    labels = np.zeros(1000, int)

    def scores(correct):
        rows = np.tile(np.float32([0.1, 0.9]), (1000, 1))
        rows[:correct] = 0.9, 0.1
        return {"y": rows}

    def findings(correct):
        limits = criteria(
            scores(980), labels, min_agreement=0.99, max_accuracy_drop=0.005
        )
        measured = measure(scores(correct), scores(980), labels)
        return [x for x in limits.findings(measured) if "accuracy" in x]

    assert not findings(975)
    assert "97.40%" in findings(974)[0]


def findings(output, **limits):
    reference = {"y": PROBABILITIES}
    measured = measure({"y": output}, reference, LABELS)
    return criteria(reference, LABELS, **limits).findings(measured)


def test_findings_name_each_failed_criterion():
    output = PROBABILITIES.copy()
    output[0] = 0.4, 0.6
    failed = findings(output, min_agreement=0.8, max_accuracy_drop=0.2)
    assert [text.partition(",")[0] for text in failed] == [
        'column 0 of output "y" has 8.8 dB of signal to noise',
        'output "y" agrees with Keras on 75.00% of the samples',
        'output "y" has an accuracy of 50.00%',
    ]
    (column,) = findings(output, min_agreement=0.75, max_accuracy_drop=0.25)
    assert column.startswith("column 0")


def test_noise_fails_whatever_the_limits():
    (finding,) = findings(
        PROBABILITIES * 1.5, min_agreement=0, max_accuracy_drop=1
    )
    assert "6.0 dB" in finding
