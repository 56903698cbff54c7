"""Which error of Keras becomes the tolerance."""

import numpy as np
import pytest

from keras_inception_export.pipeline.make_probes import _with_largest_error
from keras_inception_export.verification.degenerate import inexact
from keras_inception_export.verification.parity import keras_error
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
    found = _with_largest_error(
        *map(probes, (as_given, rebuilt, jittered)), bounded=bounded
    )
    assert keras_error(found, "y") == pytest.approx(expected, rel=1e-6)


def test_an_unusual_regime_in_which_rounding_changes_a_lot_is_left_out():
    candidates = (probes(error, "constant") for error in (0.0, 0.0, 0.1))
    assert inexact(_with_largest_error(*candidates, bounded=False)) == "y"
