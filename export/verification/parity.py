"""Compare the outputs of an artifact with the float64 reference, per column.

A column is one index of an axis of an output: the last one, or any other of
fixed size, as that of boxes and scores in a detector. Its error, in one regime
of probes, is judged against its own range, so that a large column hides
nothing in a small one. The error may be up to eight times that of Keras itself
in float32, since runtimes sum in different orders; the error of Keras is the
largest of all columns of similar range, since that of a single column may be
small by chance. 16 units of float32 rounding are always allowed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.logs import column_name
from keras_inception_export.verification.columns import (
    FACTOR,
    FLOOR,
    Columns,
    columns_of,
    error_to_signal,
    errors_of,
    largest_values,
    rms_values,
)
from keras_inception_export.verification.probes import Probes

MAX_ERROR_TO_SIGNAL = 0.5
"""The largest power of the error of a quantized artifact, relative to the
signal, whatever its tolerance: from 1 on, it is that of a constant answer."""

QUANTIZED_FACTOR = 2
"""The tolerance of the columns of a quantized artifact, as a multiple of the
largest error of those of the same axis whose ranges differ by less than
2**`NEAR`."""
NEAR = 3
QUANTIZED_FLOOR = 1 / 256
"""The least tolerance of such columns, relative to their range."""


@dataclass(frozen=True)
class OutputParity:
    """The comparison of one output of an artifact with the reference.

    The figures are those of the column, an index of `axis` (`None`: the last
    one), and the regime that come nearest to the tolerance, or exceed it most.
    They are relative to the column's range; for a quantized artifact, to the
    range of the whole output. One has tolerances for its columns as well,
    absolute, by axis and the exponent of a column's range: the error of boxes
    in pixels would hide everything in scores.
    """

    output: str
    max_error: float
    rms_error: float
    keras_max_error: float
    tolerance: float
    passed: bool
    regime: str = ""
    column: int | None = None
    axis: int | None = None
    column_tolerances: Mapping[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the record as in `report.json`; null for infinity."""
        return {
            key: None if value == float("inf") else value
            for key, value in asdict(self).items()
        }


def max_error(
    outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]
) -> float:
    """Return the largest error of several batches.

    It is relative to the largest absolute value of the float64 reference.
    """
    scale = largest_values(reference).max() or 1.0
    with np.errstate(invalid="ignore"):  # NaN where both are infinite
        errors = largest_values(errors_of(outputs, reference))
        return float(errors.max() / scale)


def tolerance(keras_error: float) -> float:
    """Return the allowed error of values that are judged together."""
    return max(FLOOR, FACTOR * keras_error)


def compare(
    results: Sequence[Mapping[str, np.ndarray]],
    specs: Sequence[TensorSpec],
    probes: Probes,
    published: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    quantized: bool = False,
    factor: float = FACTOR,
) -> tuple[list[OutputParity], list[str]]:
    """Compare an artifact's outputs with the reference.

    Args:
        results: for each batch of the probes, the outputs by name.
        specs: the expected outputs.
        probes: the inputs, and the expected values.
        published: for each output, its record in the report of a bundle.
            Those of float artifacts of earlier versions, which compared the
            columns of the last axis only, have no `axis`. Defaults to `None`:
            a new artifact.
        quantized: whether the error may be the published `tolerance`, relative
            to the largest value, and the `column_tolerances`. The outputs must
            depend on the inputs all the same. Defaults to `False`.
        factor: how many times the error of Keras, or the floor, is allowed,
            in units of the usual eight and sixteen. Defaults to 8.
    """
    records, findings = [], []
    for spec in specs:
        outputs: list[Any] = [batch.get(spec.name) for batch in results]
        before = published and published[spec.name]
        record, problem = _compare_output(
            outputs, spec, probes, before, quantized, factor
        )
        records.append(record)
        if problem:
            findings.append(f'output "{spec.name}" {problem}')
    return records, findings


def _compare_output(
    outputs, spec, probes, before, quantized, factor
) -> tuple[OutputParity, str]:
    """Return the record of an output, and what is wrong."""
    reference = probes.reference_of(spec.name)
    if problem := _problem(outputs, reference, spec):
        infinite = (float("inf"),) * 4
        return OutputParity(spec.name, *infinite, False), problem
    axes = spec.column_axes
    if not (quantized or before is None or "axis" in before):
        axes = axes[:1]
    limits = before if quantized else None
    record = _compare_columns(outputs, spec, probes, axes, limits, factor)
    if not record.passed:
        return record, (
            f"differs by {record.max_error:.1e}, allowed is "
            f"{record.tolerance:.1e} "
            f"({column_name(record.column, record.axis)}, "
            f"{record.regime} inputs)"
        )
    if (
        quantized
        and not error_to_signal(outputs, reference) <= MAX_ERROR_TO_SIGNAL
    ):
        return replace(record, passed=False), (
            "follows the inputs hardly better than a constant; expected an "
            f"error with at most {MAX_ERROR_TO_SIGNAL:.0%} of the power of "
            "the signal"
        )
    return record, ""


def _compare_columns(
    outputs, spec, probes, axes, limits, factor
) -> OutputParity:
    """Return the record of the worst column of any axis and regime."""
    found = []
    column_tolerances: dict[str, float] = {}
    squares, count = 0.0, 0
    for axis in axes:
        errors: dict[int, float] = {}
        # With an axis as the last one, its indices are the columns.
        turned = replace(
            probes,
            reference=_turned(probes.reference, spec.name, axis),
            keras=_turned(probes.keras, spec.name, axis),
        )
        all_columns = columns_of(turned, spec, factor)
        for regime, batches in turned.by_regime().items():
            differences = errors_of(
                [_columns_last(outputs[index], axis) for index in batches],
                [turned.reference[index][spec.name] for index in batches],
            )
            error = largest_values(differences)
            columns = all_columns[regime]
            if limits:
                exponents = np.frexp(columns.scale)[1].tolist()
                for exponent, value in zip(
                    exponents, error.tolist(), strict=True
                ):
                    errors[exponent] = max(errors.get(exponent, 0.0), value)
                whole = columns.scale.max() or 1.0
                own = limits.get("column_tolerances", {})
                own = np.array(
                    [own.get(_range_name(x, axis), np.inf) for x in exponents]
                )
                allowed = np.minimum(limits["tolerance"], own / whole)
                columns = Columns(
                    np.full_like(error, whole),
                    columns.keras_error,
                    allowed * whole,
                    np.zeros(len(error), bool),
                )
            ratio, column = columns.worst(error)
            unit = columns.scale[column] or 1.0
            ranges = np.where(columns.noise, np.inf, columns.scale)
            relative = rms_values(differences) / ranges
            squares += float(np.square(relative).sum())
            count += len(error)
            figures = (
                float(error[column] / unit),
                float(columns.keras_error[column] / unit),
                float(columns.allowed[column] / unit),
            )
            place = regime, column, None if axis < 0 else axis
            found.append((ratio, figures, place))
        column_tolerances |= _column_tolerances(errors, axis)
    _, figures, place = max(found, key=lambda each: each[0])
    largest, keras_error, tolerated = figures
    return OutputParity(
        spec.name,
        *(largest, (squares / count) ** 0.5, keras_error, tolerated),
        largest <= tolerated,
        *place,
        column_tolerances,
    )


def _turned(batches, output: str, axis: int) -> tuple[dict, ...]:
    return tuple({output: _columns_last(x[output], axis)} for x in batches)


def _columns_last(array: np.ndarray, axis: int) -> np.ndarray:
    """Return an array whose last axis is that of the columns.

    One number for a whole batch, as a mean of all samples, is one column.
    """
    return np.moveaxis(np.atleast_1d(array), axis, -1)


def _range_name(exponent: int, axis: int) -> str:
    """Return the key of the columns of an axis whose range is below 2**x."""
    return str(exponent) if axis < 0 else f"{exponent} of axis {axis}"


def _column_tolerances(
    errors: Mapping[int, float], axis: int
) -> dict[str, float]:
    """Return the tolerances of an axis' columns from their errors."""
    return {
        _range_name(exponent, axis): max(
            QUANTIZED_FLOOR * 2.0**exponent,
            QUANTIZED_FACTOR
            * max(e for x, e in errors.items() if abs(x - exponent) < NEAR),
        )
        for exponent in sorted(errors)
    }


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
