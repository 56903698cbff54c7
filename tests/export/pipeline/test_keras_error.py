"""Which error of Keras becomes the tolerance."""

import keras
import numpy as np
import pytest

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.model.loading import functional
from keras_inception_export.pipeline.keras_error import (
    weighted_levels,
    with_drift,
    with_largest_error,
)
from keras_inception_export.verification.degenerate import inexact
from keras_inception_export.verification.parity import compare, keras_error
from keras_inception_export.verification.probes import Probes

REFERENCE = np.random.default_rng(0).normal(size=(30, 4))


def probes(error, regime="expected"):
    outputs = ({"y": REFERENCE * (1 + error)},)
    return Probes(({},), ({"y": REFERENCE},), outputs, (regime,))


@pytest.mark.parametrize(
    ("as_given", "rebuilt", "jittered", "bounded", "expected"),
    (
        (1e-7, 6e-7, 3e-7, True, 6e-7),  # exact by chance
        (6e-7, 1e-7, 7e-7, True, 7e-7),
        (1e-7, 1e-2, 3e-7, True, 3e-7),  # another computation
        (1e-2, 1e-7, 1e-2, True, 1e-7),
        (0.0, 0.0, 1e-6, True, 1e-6),  # exact, or by chance
        (0.0, 0.0, 1e-5, True, 0.0),
        (0.0, 0.0, 1e-6, False, 1e-6),  # the reference is not exact
        (1e-7, 1e-7, 1.0, False, 1e-7),
    ),
)
def test_the_largest_error_of_the_same_computation(
    as_given, rebuilt, jittered, bounded, expected
):
    found = with_largest_error(
        *map(probes, (as_given, rebuilt, jittered)), bounded=bounded
    )
    assert keras_error(found, "y") == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("jittered", "expected"),
    ((4e-5, 4e-5), (2e-4, 1.6e-6)),
    ids=("cancellation", "a step of a function"),
)
def test_a_rounding_step_of_large_inputs(jittered, expected):
    errors = 1.6e-6, 1.6e-6, jittered
    candidates = (probes(error, "large") for error in errors)
    found = with_largest_error(*candidates, bounded=True)
    assert keras_error(found, "y") == pytest.approx(expected, rel=1e-6)


def test_an_unusual_regime_in_which_rounding_changes_a_lot_is_left_out():
    candidates = (probes(error, "constant") for error in (0.0, 0.0, 0.1))
    assert inexact(with_largest_error(*candidates, bounded=False)) == "y"


def test_the_layers_of_a_deep_model_may_round_in_the_same_direction():
    chain = [keras.layers.Dense(4) for _ in range(200)]
    model = keras.Sequential([keras.Input((4,)), *chain, keras.layers.ReLU()])
    levels = weighted_levels(functional(model))
    assert levels == 200
    allowed = with_drift(probes(1e-7), levels)
    for off, passed in ((9.9e-6, True), (2e-5, False)):
        outputs = [{"y": (REFERENCE * (1 - off)).astype("float32")}]
        spec = TensorSpec("y", (None, 4), "float32")
        (record,), _ = compare(outputs, [spec], allowed)
        assert record.passed is passed
    few = probes(1e-7)
    assert with_drift(few, 32) is few
