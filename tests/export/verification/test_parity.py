"""Parity: which outputs pass, and which references verify nothing."""

import numpy as np
import pytest

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.parity import (
    FLOOR,
    compare,
    degenerate_outputs,
    max_error,
    tolerance,
)
from keras_inception_export.verification.probes import Probes

SPEC = TensorSpec("y", (None, 4), "float32")
REFERENCE = np.random.default_rng(0).normal(size=(3, 4))


def probes(reference=REFERENCE, keras_error=1e-7):
    return Probes(({},), ({"y": reference},), {"y": keras_error})


def test_errors_are_relative_to_the_largest_value():
    outputs = [np.float32([1.0, 2.0]), np.float32([[4.0]])]
    reference = [np.array([1.0, 2.5]), np.array([[5.0]])]
    assert max_error(outputs, reference) == 1 / 5
    records, _ = compare(
        [{"y": o} for o in outputs],
        [SPEC],
        Probes(({}, {}), tuple({"y": r} for r in reference), {"y": 0.0}),
    )
    assert records[0].rms_error == pytest.approx(np.sqrt(1.25 / 3) / 5)


def test_tolerance_follows_keras_down_to_a_floor():
    assert tolerance(1e-6) == 8e-6
    assert tolerance(0.0) == FLOOR == pytest.approx(1.9e-6, rel=0.01)


def test_equal_outputs_pass():
    equal = {"y": REFERENCE.astype("float32")}
    records, findings = compare([equal], [SPEC], probes())
    assert not findings and records[0].passed


def test_limits_replace_the_tolerance():
    results = [{"y": REFERENCE.astype("float32") * np.float32(1 + 1e-3)}]
    for limit, passed in ((1e-2, True), (1e-4, False)):
        (record,), _ = compare(results, [SPEC], probes(), {"y": limit})
        assert record.tolerance == limit and record.passed is passed


@pytest.mark.parametrize(
    ("change", "words"),
    (
        (lambda y: y * np.float32(1 + 1e-5), "differs by"),
        (lambda y: y[:, :3], "has shape"),
        (lambda y: y.astype("float64"), "has dtype"),
        (lambda y: np.where(y == y.max(), np.float32("nan"), y), "holds NaN"),
        (lambda y: np.where(y == y.max(), np.float32("inf"), y), "holds NaN"),
        (lambda y: None, "is missing"),
    ),
)
def test_every_difference_is_found(change, words):
    output = change(REFERENCE.astype("float32"))
    result = {} if output is None else {"y": output}
    (record,), (finding,) = compare([result], [SPEC], probes())
    assert not record.passed
    assert words in finding and '"y"' in finding
    if words != "differs by":
        assert record.as_json()["max_error"] is None


def test_a_reference_that_depends_on_the_input():
    assert not degenerate_outputs(probes())


@pytest.mark.parametrize(
    ("reference", "words"),
    (
        (np.zeros((3, 4)), "hardly depends on the input"),
        (np.ones((3, 4)), "hardly depends on the input"),
        (1 + 1e-6 * REFERENCE, "hardly depends on the input"),
        (REFERENCE * np.nan, "is NaN"),
    ),
)
def test_degenerate_reference(reference, words):
    (finding,) = degenerate_outputs(probes(reference))
    assert words in finding and '"y"' in finding


def test_only_samples_of_the_same_size_are_compared():
    batches = [REFERENCE[:1], np.ones((2, 6)), np.ones((2, 6))]
    outputs = tuple({"y": batch} for batch in batches)
    assert degenerate_outputs(Probes(({},) * 3, outputs, {"y": 1e-7}))
