"""References on which a comparison verifies nothing."""

import numpy as np
import pytest

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.degenerate import (
    MAX_KERAS_ERROR,
    degenerate_outputs,
    inexact,
)
from keras_inception_export.verification.parity import FLOOR, keras_error
from keras_inception_export.verification.probes import Probes
from tests.helpers.probes import REFERENCE, SPEC, joined, probes


def test_probes_on_which_keras_is_inexact():
    assert inexact(probes(error=1e-3)) == ""
    assert inexact(probes(error=0.1)) == "y"
    just = probes(1.0 * np.eye(4), keras=np.eye(4) + 0.01 * (np.eye(4) == 0))
    assert keras_error(just, "y") == MAX_KERAS_ERROR == 0.01
    assert inexact(just) == ""
    (finding,) = degenerate_outputs(just, [SPEC])
    assert "hardly depends" in finding  # by 30 times the tolerance
    assert keras_error(probes(keras=np.nan * REFERENCE), "y") == np.inf
    assert keras_error(probes(np.inf * np.ones(3)), "y") == np.inf


def test_a_reference_that_depends_on_the_input():
    assert not degenerate_outputs(probes(), [SPEC])
    one_column = np.where(np.arange(4) == 2, REFERENCE, 1e6)
    assert not degenerate_outputs(probes(one_column), [SPEC])


def test_one_regime_that_moves_an_output_is_enough():
    still, moves = np.ones((3, 4)), probes(REFERENCE, regime="large")
    apart = probes(2 * still, regime="constant")
    one_step = np.where(np.arange(4) == 2, REFERENCE, 1.0)
    for others in ([moves], [apart], [probes(one_step, regime="large")]):
        assert not degenerate_outputs(joined(probes(still), *others), [SPEC])
    # Keras is so inexact on large inputs that all together show nothing.
    reference = 1e3 * np.abs(REFERENCE)
    keras = reference + 9e-3 * reference.max()
    rough = probes(reference, keras=keras, regime="large")
    assert degenerate_outputs(probes(reference, keras=keras), [SPEC])
    assert not degenerate_outputs(joined(probes(), rough), [SPEC])
    assert not degenerate_outputs(joined(rough, probes()), [SPEC])
    # All together, they would show nothing beside an error of 9 in 1,000.
    large = probes(1e3 * still, keras=1009 * still)
    exact = probes(regime="constant")
    assert not degenerate_outputs(joined(large, exact), [SPEC])


@pytest.mark.parametrize(
    ("tolerances", "enough"), ((29.5, 0), (30.0, 0), (30.5, 1))
)
def test_an_output_must_move_by_30_tolerances(tolerances, enough):
    steps = np.tile([[0], [tolerances * FLOOR]], (2, 4))
    findings = degenerate_outputs(probes(1 - steps, error=0), [SPEC])
    assert len(findings) == 1 - enough


def test_each_output_and_regime_has_its_finding():
    specs = [TensorSpec(name, (None, 4), "float32") for name in "gabcd"]
    good = {name: REFERENCE for name in "gabcd"}
    wrong = {
        "g": REFERENCE,
        "a": REFERENCE * np.nan,
        "b": REFERENCE,
        "c": 2 + 1e-6 * REFERENCE,
        "d": 0 * REFERENCE,
    }
    keras = {**wrong, "b": REFERENCE * 1.1}
    expected = Probes(
        ({},) * 4,
        ({**good, "c": wrong["c"], "d": wrong["d"]},) * 2 + (wrong,) * 2,
        ({**good, "c": wrong["c"], "d": wrong["d"]},) * 2 + (keras,) * 2,
        ("expected", "constant", "large", "mixed signs"),
    )
    findings = degenerate_outputs(expected, specs)
    changes = np.ptp(wrong["c"], axis=0).max() / wrong["c"].max()
    for finding, words in zip(
        findings,
        ("is NaN", "(large inputs)", f"changes by {changes:.1e}", "by 0.0e+00"),
        strict=True,
    ):
        assert words in finding


def test_only_samples_of_the_same_size_are_compared():
    batches = [REFERENCE[:1], np.ones((2, 6)), np.ones((2, 6))]
    assert degenerate_outputs(joined(*map(probes, batches)), [SPEC])


HARDLY_DEPENDS = (
    'output "y" hardly depends on the input (it changes by {} of its largest '
    "value), so a comparison verifies nothing; expected a model whose signals "
    "reach its outputs: train it, or call it on data with training=True so "
    "that batch normalization has statistics, or give other samples"
)


@pytest.mark.parametrize(
    ("expected", "finding"),
    (
        (
            probes(REFERENCE * np.nan),
            'output "y" of the model itself is NaN or infinite, expected '
            "finite values; check the model's weights, or give other samples",
        ),
        (
            probes(error=0.25),
            'Keras itself is inexact in output "y": float32 differs from '
            "float64 by 25.0% (expected inputs), allowed is 1%, so a "
            "comparison verifies nothing; rounding grows from layer to layer "
            "if a deep model has random or very large weights: train it, "
            "check its weights, or give other samples",
        ),
        (probes(np.zeros((3, 4))), HARDLY_DEPENDS.format("0.0e+00")),
        (probes(np.ones((3, 4))), HARDLY_DEPENDS.format("0.0e+00")),
        (
            probes(1 + 1e-6 * np.eye(4)),
            HARDLY_DEPENDS.format("1.0e-06"),
        ),
    ),
)
def test_a_finding_says_what_to_do(expected, finding):
    found = degenerate_outputs(expected, [SPEC])
    assert found == [f"reference: {finding}"]
