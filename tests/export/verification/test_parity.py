"""Parity: which outputs pass, and which references verify nothing."""

import numpy as np
import pytest

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.columns import (
    FLOOR,
    columns_of,
    errors_of,
)
from keras_inception_export.verification.parity import (
    compare,
    max_error,
    tolerance,
)
from tests.helpers.probes import GENERATOR, REFERENCE, SPEC, joined, probes


def compared(outputs, expected, spec=SPEC):
    """Compare one output per batch; return its record and finding."""
    results = [{"y": output.astype(spec.dtype)} for output in outputs]
    (record,), findings = compare(results, [spec], expected)
    assert record.passed is not findings
    return record, (findings or [""])[0]


def quantized(results, expected, spec=SPEC, **published):
    """Compare with the record of a bundle; return the new one, and findings."""
    (record,), findings = compare(
        results, [spec], expected, {"y": published}, quantized=True
    )
    return record, findings


def test_errors_are_relative_to_the_largest_value():
    for output, expected, error in ((0.2, 0.1, 1), (0.5, 0, 0.5)):
        parts = [np.array([float(value)]) for value in (output, expected)]
        assert max_error(parts[:1], parts[1:]) == error
        record, _ = compared(parts[:1], probes(parts[1]))
        assert record.max_error == pytest.approx(error)
    outputs = [np.float32([1.0, 2.0]), np.float32([[4.0]])]
    reference = [np.array([1.0, 2.5]), np.array([[5.0]])]
    assert max_error(outputs, reference) == 1 / 5
    record, _ = compared(outputs, joined(*map(probes, reference)))
    assert record.max_error == 1 / 5 and record.column == 0
    assert record.rms_error == pytest.approx(1 / 5)


def test_an_output_may_be_one_number():
    spec = TensorSpec("y", (), "float32")
    reference = [np.float64(5.0), np.float64(4.0)]
    for error, passed in ((0.0, True), (1.0, False)):
        outputs = [np.float32(value + error) for value in reference]
        record, _ = compared(outputs, joined(*map(probes, reference)), spec)
        assert record.passed is passed and record.max_error == error / 5


def test_tolerance_follows_keras_down_to_a_floor():
    assert tolerance(1e-6) == 8e-6
    assert tolerance(0.0) == FLOOR == pytest.approx(1.9e-6, rel=0.01)


def test_equal_outputs_pass():
    record, finding = compared([REFERENCE], probes())
    assert record.passed and not finding


@pytest.mark.parametrize("change", (None, "lost", "halved", "noisier"))
def test_quantized_columns_have_tolerances_of_their_own(change):
    """The error of boxes in pixels hides nothing in scores beside them."""
    expected = probes(REFERENCE * [640, 640, 1, 1e-3])
    steps = np.array([6, 6, 0.01, 1e-5])
    noise = steps * GENERATOR.uniform(-1, 1, (30, 4))
    written = {"y": np.float32(expected.reference[0]["y"] + noise)}
    record, _ = quantized([written], expected, tolerance=1.0)
    assert record.passed and record.tolerance == 1
    limits = {"tolerance": 1.5 * record.max_error}
    columns = {"column_tolerances": record.column_tolerances}
    found = {"y": written["y"].copy()}
    if change == "noisier":  # another processor
        found["y"] += np.float32(0.3 * noise)
    elif change:
        found["y"][:, 2] *= 0.5 if change == "halved" else 0
    for given, passes in (({}, True), (columns, change in (None, "noisier"))):
        record, findings = quantized([found], expected, **limits, **given)
        assert record.passed is passes
        assert passes or "column 2" in findings[0]


def test_the_tolerances_of_quantized_columns():
    """Twice the error of columns of similar range, or a part of the range."""
    ranges = 0.75 * 2.0 ** np.array([0, 2, 3, 10])
    reference = np.tile(ranges, (4, 1))
    parts = [probes(reference, regime=x) for x in ("expected", "large")]
    results = [{"y": np.float32(reference)} for _ in parts]
    for result, error in zip(results, (0.125, 0.0625), strict=True):
        result["y"][0, 0] += error
    record, _ = quantized(results, joined(*parts), tolerance=1.0)
    tolerances = {"0": 0.25, "2": 0.25, "3": 8 / 256, "10": 4.0}
    assert record.column_tolerances == tolerances


@pytest.mark.parametrize("axis", (1, 2))
def test_quantized_columns_along_any_axis(axis):
    """A location where no box is larger than a score loosens no score."""
    boxes = GENERATOR.uniform(0, 640, (30, 9, 4))
    boxes[:, 8] *= 1e-3
    reference = np.concatenate([boxes, boxes[..., :1] / 640], axis=-1)
    expected = probes(np.moveaxis(reference, -1, axis))
    shape = None, *expected.reference_of("y")[0].shape[1:]
    spec = TensorSpec("y", shape, "float32")

    def outputs(*errors):
        return np.moveaxis(reference + errors, -1, axis).astype("float32")

    written = [{"y": outputs(2, 2, 2, 2, 0.004)}]
    limits = {"tolerance": 1.0}
    record, _ = quantized(written, expected, spec, **limits)
    limits["column_tolerances"] = record.column_tolerances
    for error, passes in ((0.006, True), (0.2, False)):
        changed = [{"y": outputs(2, 2, 2, 2, error)}]
        record, findings = quantized(changed, expected, spec, **limits)
        assert record.passed is passes
        place = "(column 4" + (" of axis 1," if axis == 1 else ",")
        assert passes or place in findings[0]


def test_errors_of_a_quantized_artifact_are_relative_to_those_of_a_regime():
    parts = probes(REFERENCE), probes(128 * REFERENCE, regime="large")
    results = [{"y": np.float32(x.reference[0]["y"])} for x in parts]
    results[0]["y"] += np.float32(0.01)
    results[1]["y"] += np.float32(0.1)
    record, _ = quantized(results, joined(*parts), tolerance=0.5)
    assert record.regime == "expected"


def test_limits_replace_the_tolerance_relative_to_the_largest_value():
    for scale, added in ((1, 1e-3), (100, 1)):
        results = [{"y": np.float32(scale * REFERENCE + added)}]
        expected = probes(scale * REFERENCE)
        for limit, passed in ((1e-2, True), (1e-4, False)):
            record, _ = quantized(results, expected, tolerance=limit)
            assert record.tolerance == limit and record.passed is passed


@pytest.mark.parametrize(
    ("change", "words"),
    (
        (
            lambda y: y * np.float32(1 + 1e-5),
            '" differs by 1.0e-05, allowed is 1.9e-06 (column ',
        ),
        (lambda y: y[:, :3], '" has shape (30, 3), expected (30, 4)'),
        (lambda y: y.astype("float64"), "dtype float64, expected float32"),
        (lambda y: np.where(y == y.max(), np.float32("nan"), y), "holds NaN"),
        (lambda y: np.where(y == y.max(), np.float32("inf"), y), "holds NaN"),
        (lambda y: None, "is missing"),
    ),
)
def test_every_difference_is_found(change, words):
    output = change(REFERENCE.astype("float32"))
    result = {} if output is None else {"y": output}
    (record,), (finding,) = compare([result], [SPEC], probes())
    assert record.output == "y" and record.passed is False
    assert words in finding and '"y"' in finding
    if "differs by" not in words:
        assert record.as_json()["max_error"] is None and not record.regime


@pytest.mark.parametrize("large", (1e2, 1e6, 1e30))
@pytest.mark.parametrize("column", range(4))
def test_a_large_column_hides_nothing_in_a_small_one(large, column):
    reference = REFERENCE.copy()
    reference[:, (column + 1) % 4] *= large
    output = reference.copy()
    output[3, column] += 1e-4
    record, finding = compared([output], probes(reference))
    assert (record.column, record.regime) == (column, "expected")
    assert f"column {column}, expected inputs" in finding


@pytest.mark.parametrize(
    ("shape", "axis", "index"),
    (
        ((None, 6, 50), 1, 4),  # boxes and scores of a detector
        ((None, 2, None), 1, 1),  # two stacked outputs
        ((None, 4, 5, 5), 1, 0),  # maps with channels first
        ((None, 5, 3, 4), 2, 2),
        ((None, 5, 3, 4), None, 3),
        ((None, None, 5, 4), 1, 2),  # an axis of free size has no columns
    ),
)
def test_an_error_in_a_small_slice_of_any_axis(shape, axis, index):
    spec = TensorSpec("y", shape, "float32")
    sizes = [30, *(7 if size is None else size for size in shape[1:])]
    reference = 1e4 * GENERATOR.normal(size=sizes)
    small = np.moveaxis(reference, -1 if axis is None else axis, 0)[index]
    small /= 1e4
    output = reference.copy()
    record, _ = compared([output], probes(reference), spec)
    assert record.passed
    np.moveaxis(output, -1 if axis is None else axis, 0)[index] += 1e-3
    record, finding = compared([output], probes(reference), spec)
    results = [{"y": np.float32(output)}]
    # Whatever tolerance is published, a float artifact is judged anew: as then,
    # along the last axis if the record is of an early version.
    for published, passes in (({}, axis is not None), ({"axis": axis}, None)):
        published |= {"tolerance": 1e9}
        ((again,), _) = compare(
            *(results, [spec], probes(reference), {"y": published})
        )
        assert again == record if passes is None else again.passed is passes
    if axis is not None and shape[axis] is None:
        assert record.passed
        return
    assert (record.column, record.axis) == (index, axis)
    where = "" if axis is None else f" of axis {axis}"
    assert f"(column {index}{where}, expected inputs)" in finding


def test_regimes_are_judged_apart():
    expected = joined(probes(), probes(1e6 * REFERENCE, regime="large"))
    small = [REFERENCE + 1e-4, 1e6 * REFERENCE]
    large = [REFERENCE, 1e6 * REFERENCE + 1e-4]
    assert compared(small, expected)[0].regime == "expected"
    assert compared(large, expected)[0].passed


def test_an_error_that_is_small_by_chance_is_that_of_similar_columns():
    keras = REFERENCE.copy()
    keras[:, 0] += 1e-5
    record, _ = compared([REFERENCE + 5e-5], probes(keras=keras))
    assert record.passed
    far = REFERENCE * [1, 1, 1, 100]
    keras = far.copy()
    keras[:, 3] += 1e-3
    record, _ = compared([far + 5e-5], probes(far, keras=keras))
    assert not record.passed and record.column != 3


def test_rounding_noise_neither_fails_nor_loosens_other_columns():
    reference, keras = REFERENCE.copy(), REFERENCE.copy()
    reference[:, 0] = 1e-17 * GENERATOR.normal(size=30)
    keras[:, 0] = 1e-8 * GENERATOR.normal(size=30)
    output = REFERENCE.copy()
    output[:, 0] = 3e-8 * GENERATOR.normal(size=30)
    expected = probes(reference, keras=keras)
    noise = columns_of(expected, SPEC)["expected"].noise
    assert noise.tolist() == [True, False, False, False]
    assert compared([output], expected)[0].passed
    output[0, 0] = 1e-5
    assert compared([output], expected)[0].column == 0
    output[0, :2] = 0, REFERENCE[0, 1] + 1e-5
    assert compared([output], expected)[0].column == 1


def test_zeros_may_be_as_inexact_as_usual_values():
    constant = probes(np.zeros((3, 4)), regime="constant")
    expected = joined(probes(error=1e-5), constant)
    for error, passed in ((1e-5, True), (1e-2, False)):
        outputs = [REFERENCE, np.full((3, 4), error)]
        assert compared(outputs, expected)[0].passed is passed


def test_few_values_take_their_range_from_other_regimes():
    near_zero = REFERENCE[:1] * [1, 1, 1, 1e-6]
    expected = joined(probes(), probes(near_zero, regime="large"))
    assert compared([REFERENCE, near_zero + 1e-6], expected)[0].passed
    assert not compared([REFERENCE, near_zero + 1e-4], expected)[0].passed


def test_integers_are_equal_unless_keras_differs():
    spec = TensorSpec("y", (None, 4), "int32")
    values = np.arange(4e6, 4e6 + 12).reshape(3, 4)
    assert compared([values], probes(values, 0.0), spec)[0].passed
    other = values + [0, 0, 1, 0]
    assert not compared([other], probes(values, 0.0), spec)[0].passed
    assert compared([other], probes(values, keras=other), spec)[0].passed


def test_the_figures_of_a_record():
    """They are of the first worst regime, the RMS of all but noise."""
    reference = np.tile([10.0, 20.0, 0.0, 40.0], (4, 1)) * ([[1], [-1]] * 2)
    keras = reference + [2e-3, 0, 0, 0]
    parts = [
        probes(reference, keras=keras, regime=regime)
        for regime in ("expected", "large")
    ]
    wrong = [reference + [0, 1e-2, 0, 0], reference + [0, 0, 0, 2e-2]]
    for outputs, regime, column in (
        (wrong, "large", 3),
        (wrong[:1] * 2, "expected", 1),
    ):
        record, _ = compared(outputs, joined(*parts))
        assert (record.regime, record.column) == (regime, column)
    scale = abs(reference[0, 1])
    assert record.keras_max_error == pytest.approx(2e-3 / scale)
    assert record.max_error == pytest.approx(1e-2 / scale, rel=1e-2)
    expected = 1e-2 / scale * (2 / 8) ** 0.5
    assert record.rms_error == pytest.approx(expected, rel=1e-2)


def test_a_factor_is_for_the_floor_too():
    results = [{"y": (REFERENCE * (1 + 3e-6)).astype("float32")}]
    for factor, passed in ((8, False), (16, True)):
        (record,), _ = compare(results, [SPEC], probes(error=0), factor=factor)
        assert record.passed is passed


def test_every_batch_must_be_there():
    for function in (compare, errors_of):
        arguments = [[], [REFERENCE]]
        if function is compare:
            arguments = [[], [SPEC], probes()]
        with pytest.raises(ValueError, match="zip"):
            function(*arguments)
