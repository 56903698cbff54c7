"""Compare the outputs of an artifact with the float64 reference.

The error of an output is `max|y - y64| / max|y64|`. It may be up to eight
times the error of Keras itself in float32 on the same inputs, since runtimes
sum in different orders; 16 units of float32 rounding are always allowed.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.verification.probes import Probes

FACTOR = 8.0
FLOOR = 16 * float(np.finfo("float32").eps)
MIN_MOVEMENT = 30.0
"""The least difference between the samples of an output, in tolerances, for
which a comparison of that output verifies anything."""


@dataclass(frozen=True)
class OutputParity:
    """The comparison of one output of an artifact with the reference.

    All figures are relative to the largest absolute reference value.
    """

    output: str
    max_error: float
    rms_error: float
    keras_max_error: float
    tolerance: float
    passed: bool

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
    return _error(outputs, reference, lambda difference: difference.max())


def tolerance(keras_error: float) -> float:
    """Return the allowed error, given the error of Keras in float32."""
    return max(FLOOR, FACTOR * keras_error)


def degenerate_outputs(probes: Probes) -> list[str]:
    """Return a finding per output that is not finite or hardly changes."""
    findings = []
    for name, keras_error in probes.keras_error.items():
        batches = [batch[name] for batch in probes.reference]
        scale = _scale(batches)
        movement = _movement(batches)
        if not np.isfinite(scale):
            findings.append(
                f'reference: output "{name}" of the model itself is NaN or '
                "infinite, expected finite values; check the model's weights"
            )
        elif movement <= MIN_MOVEMENT * tolerance(keras_error) * scale:
            relative = movement / scale if scale else 0
            findings.append(
                f'reference: output "{name}" hardly depends on the input '
                f"(it changes by {relative:.1e} of its largest value), so a "
                "comparison verifies nothing; train the model, or give it "
                "other samples"
            )
    return findings


def compare(
    results: Sequence[Mapping[str, np.ndarray]],
    specs: Sequence[TensorSpec],
    probes: Probes,
    limits: Mapping[str, float] | None = None,
) -> tuple[list[OutputParity], list[str]]:
    """Compare an artifact's outputs with the reference."""
    records, findings = [], []
    for spec in specs:
        reference = [batch[spec.name] for batch in probes.reference]
        outputs: list[Any] = [batch.get(spec.name) for batch in results]
        problem = _problem(outputs, reference, spec)
        keras_error = probes.keras_error[spec.name]
        allowed = limits[spec.name] if limits else tolerance(keras_error)
        largest = rms = float("inf")
        if not problem:
            largest = max_error(outputs, reference)
            rms = _error(outputs, reference, lambda d: np.sqrt(np.mean(d * d)))
            if not largest <= allowed:
                problem = f"differs by {largest:.1e}, allowed is {allowed:.1e}"
        figures = largest, rms, keras_error, allowed
        records.append(OutputParity(spec.name, *figures, not problem))
        if problem:
            findings.append(f'output "{spec.name}" {problem}')
    return records, findings


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


def _error(outputs, reference, norm: Callable) -> float:
    """Return a norm of the difference, relative to the largest reference."""
    difference = np.concatenate(
        [
            np.abs(output.astype("float64") - expected).ravel()
            for output, expected in zip(outputs, reference, strict=True)
        ]
    )
    scale = _scale(reference) or 1.0
    return float(norm(difference) / scale) if difference.size else 0.0


def _scale(batches) -> float:
    """Return the largest absolute value; NaN if a batch holds NaN."""
    return np.max([np.abs(batch).max(initial=0.0) for batch in batches])


def _movement(batches) -> float:
    """Return the largest range of any one value over all samples."""
    by_size = defaultdict(list)
    for batch in batches:
        rows = batch.reshape(len(batch) if batch.ndim else 1, -1)
        by_size[rows.shape[1]].append(rows)
    return max(
        np.ptp(np.concatenate(rows), axis=0).max(initial=0.0)
        for rows in by_size.values()
    )
