"""Compare the outputs of an artifact with the float64 reference, per column.

A column is one index of the last axis of an output. Its error, in one regime
of probes, is judged against its own range, so that a large column hides
nothing in a small one. The error may be up to eight times that of Keras itself
in float32, since runtimes sum in different orders; the error of Keras is the
largest of all columns of similar range, since that of a single column may be
small by chance. 16 units of float32 rounding are always allowed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from keras_inception_export.bundle.bundle import USUAL
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.columns import (
    error_to_signal,
    large_rows,
    largest_errors,
    largest_values,
    rms_errors,
)
from keras_inception_export.verification.probes import Probes

EPSILON = float(np.finfo("float32").eps)
FACTOR = 8.0
FLOOR = 16 * EPSILON
SIMILAR = 6
"""Columns whose ranges differ by less than 2**6 share the error of Keras."""

MIN_ROWS = 4
"""With fewer values of the size of its range, a column's range may be small by
chance, as that of a rectified channel that is hardly ever positive. Its share
of the output's range is then that of all regimes."""

NOISE = 0.1
"""A column in which Keras differs by more than this part of the range holds
rounding noise. It is compared with the noise, and loosens no other column."""

MAX_ERROR_TO_SIGNAL = 0.5
"""The largest power of the error of a quantized artifact, relative to the
signal, whatever its tolerance: from 1 on, it is that of a constant answer."""


QUANTIZED_FACTOR = 2
"""The tolerance of the columns of a quantized artifact, as a multiple of the
largest error of those whose ranges differ by less than 2**`NEAR`."""
NEAR = 3
QUANTIZED_FLOOR = 1 / 256
"""The least tolerance of such columns, relative to their range."""

NOTHING: Mapping = MappingProxyType({})


@dataclass(frozen=True)
class OutputParity:
    """The comparison of one output of an artifact with the reference.

    The figures are those of the column and regime that come nearest to the
    tolerance, or exceed it most. They are relative to the column's range; for
    a quantized artifact, to the range of the whole output. One has tolerances
    for its columns as well, absolute, by the exponent of a column's range: the
    error of boxes in pixels would hide everything in scores.
    """

    output: str
    max_error: float
    rms_error: float
    keras_max_error: float
    tolerance: float
    passed: bool
    regime: str = ""
    column: int | None = None
    column_tolerances: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the record as in `report.json`; null for infinity."""
        return {
            key: None if value == float("inf") else value
            for key, value in asdict(self).items()
        }


@dataclass(frozen=True)
class Columns:
    """The columns of one output in one regime, one value per column.

    Args:
        scale: the range that errors are relative to.
        keras_error: the error of Keras in float32, absolute.
        allowed: the tolerance, absolute.
        noise: whether the column holds nothing but rounding noise.
    """

    scale: np.ndarray
    keras_error: np.ndarray
    allowed: np.ndarray
    noise: np.ndarray

    def worst(self, error: np.ndarray) -> tuple[float, int]:
        """Return the largest error in tolerances, and its column."""
        infinite = np.where(error > 0, np.inf, 0.0)
        positive = self.allowed > 0
        ratio = np.divide(error, self.allowed, out=infinite, where=positive)
        shown = np.where(self.noise & (ratio <= 1), 0.0, ratio)
        column = int(shown.argmax())
        return float(ratio[column]), column


def max_error(
    outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]
) -> float:
    """Return the largest error of several batches.

    It is relative to the largest absolute value of the float64 reference.
    """
    scale = largest_values(reference).max() or 1.0
    with np.errstate(invalid="ignore"):  # NaN where both are infinite
        return float(largest_errors(outputs, reference).max() / scale)


def tolerance(keras_error: float) -> float:
    """Return the allowed error of values that are judged together."""
    return max(FLOOR, FACTOR * keras_error)


def compare(
    results: Sequence[Mapping[str, np.ndarray]],
    specs: Sequence[TensorSpec],
    probes: Probes,
    limits: Mapping[str, float] | None = None,
    factor: float = FACTOR,
    column_limits: Mapping[str, Mapping[str, float]] = NOTHING,
) -> tuple[list[OutputParity], list[str]]:
    """Compare an artifact's outputs with the reference.

    Args:
        results: for each batch of the probes, the outputs by name.
        specs: the expected outputs.
        probes: the inputs, and the expected values.
        limits: for each output, an error that is allowed in every column,
            relative to the largest value; the outputs must depend on the
            inputs all the same. Defaults to `None`: the tolerance of each
            column.
        factor: how many times the error of Keras, or the floor, is allowed,
            in units of the usual eight and sixteen. Defaults to 8.
        column_limits: for each output, the `column_tolerances` that apply
            besides `limits`. Defaults to none.
    """
    records, findings = [], []
    for spec in specs:
        outputs: list[Any] = [batch.get(spec.name) for batch in results]
        problem = _problem(outputs, probes.reference_of(spec.name), spec)
        if problem:
            infinite = (float("inf"),) * 4
            record = OutputParity(spec.name, *infinite, False)
        else:
            limit = limits[spec.name] if limits else None
            more = column_limits.get(spec.name, NOTHING)
            arguments = outputs, spec, probes, limit, factor, more
            record = _compare_columns(*arguments)
            problem = "" if record.passed else _difference(record)
            if (
                limits
                and record.passed
                and _is_constant(outputs, probes.reference_of(spec.name))
            ):
                record = replace(record, passed=False)
                problem = (
                    "follows the inputs hardly better than a constant; "
                    "expected an error with at most "
                    f"{MAX_ERROR_TO_SIGNAL:.0%} of the power of the signal"
                )
        records.append(record)
        if problem:
            findings.append(f'output "{spec.name}" {problem}')
    return records, findings


def _compare_columns(
    outputs, spec, probes, limit, factor, column_limits
) -> OutputParity:
    """Return the record of the worst column in the worst regime."""
    found = []
    errors: dict[int, float] = {}
    squares, count = 0.0, 0
    all_columns = columns_of(probes, spec, factor)
    for regime, batches in probes.by_regime().items():
        got = [outputs[index] for index in batches]
        reference = [probes.reference[index][spec.name] for index in batches]
        error = largest_errors(got, reference)
        columns = all_columns[regime]
        if limit is not None:
            exponents = np.frexp(columns.scale)[1].tolist()
            for exponent, value in zip(exponents, error.tolist(), strict=True):
                errors[exponent] = max(errors.get(exponent, 0.0), value)
            whole = columns.scale.max() or 1.0
            own = [column_limits.get(str(x), np.inf) for x in exponents]
            limits = np.minimum(limit, np.array(own) / whole)
            columns = Columns(
                np.full_like(error, whole),
                columns.keras_error,
                limits * whole,
                np.zeros(len(error), bool),
            )
        ratio, column = columns.worst(error)
        unit = columns.scale[column] or 1.0
        ranges = np.where(columns.noise, np.inf, columns.scale)
        relative = rms_errors(got, reference) / ranges
        squares += float(np.square(relative).sum())
        count += len(error)
        figures = (
            float(error[column] / unit),
            float(columns.keras_error[column] / unit),
            float(
                columns.allowed[column] / unit
                if limit is None
                else limits[column]
            ),
        )
        found.append((ratio, regime, column, figures))
    _, regime, column, figures = max(found, key=lambda each: each[0])
    largest, keras_error, allowed = figures
    return OutputParity(
        spec.name,
        *(largest, (squares / count) ** 0.5, keras_error, allowed),
        bool(largest <= allowed),
        regime,
        column,
        _column_tolerances(errors),
    )


def _column_tolerances(errors: Mapping[int, float]) -> dict[str, float]:
    """Return the tolerances of columns from their errors, by exponent."""
    return {
        str(exponent): max(
            QUANTIZED_FLOOR * 2.0**exponent,
            QUANTIZED_FACTOR
            * max(e for x, e in errors.items() if abs(x - exponent) < NEAR),
        )
        for exponent in sorted(errors)
    }


def _is_constant(outputs, reference) -> bool:
    """Return whether a constant would be about as good an answer."""
    return not error_to_signal(outputs, reference) <= MAX_ERROR_TO_SIGNAL


def _difference(record: OutputParity) -> str:
    return (
        f"differs by {record.max_error:.1e}, allowed is "
        f"{record.tolerance:.1e} (column {record.column}, {record.regime} "
        "inputs)"
    )


def columns_of(
    probes: Probes, spec: TensorSpec, factor: float = FACTOR
) -> dict[str, Columns]:
    """Return the columns of one output, for each regime of the probes."""
    scales, errors, rows = {}, {}, {}
    for regime, batches in probes.by_regime().items():
        reference = [probes.reference[index][spec.name] for index in batches]
        keras = [probes.keras[index][spec.name] for index in batches]
        scales[regime] = largest_values(reference)
        errors[regime] = largest_errors(keras, reference)
        rows[regime] = large_rows(reference, scales[regime])
    shares = _shares(list(scales.values()), list(rows.values()))
    floor = FLOOR if spec.dtype.startswith(("float", "bfloat")) else 0.0
    floor *= factor / FACTOR
    found = {}
    for regime, scale in scales.items():
        whole = scale.max()
        if shares is not None:
            common = np.maximum(scale, shares * whole)
            scale = np.where(rows[regime] < MIN_ROWS, common, scale)
        error = errors[regime]
        noise = error >= NOISE * scale  # so is a column of zeros
        pooled = _pooled(scale, np.where(noise, 0.0, error))
        allowed = np.where(
            noise,
            np.maximum(factor * error, floor / 16 * whole),
            np.maximum(factor * pooled, floor * scale),
        )
        if floor:  # runtimes may round the smallest numbers to zero
            allowed += 16 * np.finfo("float32").tiny
        error = np.where(noise, error, pooled)
        found[regime] = Columns(scale, error, allowed, noise)
    usual = [found[name].allowed for name in USUAL if name in found]
    for columns in found.values():
        if columns.allowed.shape == usual[-1].shape:
            # What is zero here, as after a normalization of constant values,
            # may be as inexact as on usual inputs.
            least = np.where(columns.noise, usual[-1], 0.0)
            np.maximum(columns.allowed, least, out=columns.allowed)
    return found


def _shares(scales, rows) -> np.ndarray | None:
    """Return each column's largest share of the output's range.

    It is 1 for a column that has too few values in all regimes together.
    """
    if len({len(scale) for scale in scales}) != 1:
        return None
    parts = [scale / (scale.max() or 1.0) for scale in scales]
    return np.where(np.sum(rows, axis=0) < MIN_ROWS, 1.0, np.max(parts, axis=0))


def _pooled(scale: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Return the largest error of the columns of similar range."""
    exponent = np.frexp(scale)[1]
    found, positions = np.unique(exponent, return_inverse=True)
    largest = np.zeros(len(found))
    np.maximum.at(largest, positions, error)
    near = np.abs(found[:, None] - found) < SIMILAR
    return np.where(near, largest, 0.0).max(axis=1)[positions]


def keras_error(probes: Probes, output: str) -> float:
    """Return the largest error of Keras itself; infinity for NaN."""
    keras = [batch[output] for batch in probes.keras]
    error = max_error(keras, probes.reference_of(output))
    return float("inf") if np.isnan(error) else error


def _problem(outputs, reference, spec: TensorSpec) -> str:
    """Return why the outputs cannot be compared, or an empty string."""
    for output, expected in zip(outputs, reference, strict=True):
        if output is None:
            return "is missing"
        if output.shape != expected.shape:
            return f"has shape {output.shape}, expected {expected.shape}"
        if output.dtype.name != spec.dtype:
            return f"has dtype {output.dtype.name}, expected {spec.dtype}"
        if not np.isfinite(output.astype("float64")).all():
            return "holds NaN or infinite values"
    return ""
