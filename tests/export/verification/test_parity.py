"""What counts as equal, and what proves nothing."""

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


def findings(output):
    return compare(
        [{"y": output} if output is not None else {}], [SPEC], probes()
    )[1]


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
    records, found = compare(
        [{"y": REFERENCE.astype("float32")}], [SPEC], probes()
    )
    assert not found and records[0].passed


@pytest.mark.parametrize(
    ("change", "words"),
    (
        (lambda y: y * np.float32(1 + 1e-5), "is off by"),
        (lambda y: y[:, :3], "has shape"),
        (lambda y: y.astype("float64"), "has dtype"),
        (lambda y: np.where(y == y.max(), np.float32("nan"), y), "holds NaN"),
        (lambda y: np.where(y == y.max(), np.float32("inf"), y), "holds NaN"),
        (lambda y: None, "is missing"),
    ),
)
def test_every_difference_is_found(change, words):
    (found,) = findings(change(REFERENCE.astype("float32")))
    assert words in found and '"y"' in found


def test_a_lively_reference_proves_something():
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
def test_a_dead_reference_proves_nothing(reference, words):
    (found,) = degenerate_outputs(probes(reference))
    assert words in found and '"y"' in found


def test_samples_of_different_sizes_are_compared_among_their_like():
    batches = [REFERENCE[:1], np.ones((2, 6)), np.ones((2, 6))]
    dead = Probes(({},) * 3, tuple({"y": b} for b in batches), {"y": 1e-7})
    assert degenerate_outputs(dead)


def test_probes_survive_the_file(tmp_path):
    written = Probes(
        ({"a/b": np.float32([[1]])}, {"a/b": np.float32([[2], [3]])}),
        ({"y": np.array([1.5])}, {"y": np.array([2.5, 3.5])}),
        {"y": 1.25e-7},
    )
    written.save(tmp_path / "probes.npz")
    read = Probes.load(tmp_path / "probes.npz")
    assert read.keras_error == written.keras_error
    for ours, theirs in zip(
        (*read.feeds, *read.reference),
        (*written.feeds, *written.reference),
        strict=True,
    ):
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
            assert ours[name].dtype == theirs[name].dtype
