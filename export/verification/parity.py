"""What "equal" means: an artifact against the float64 reference.

The error of an output is `max|y - y64| / max|y64|`. It may be at most eight
times the error that Keras itself makes in float32 on the same inputs, since
runtimes order their sums differently; and 16 units of float32 rounding are
always allowed.
"""

from collections import defaultdict
from dataclasses import asdict, dataclass

import numpy as np

FACTOR = 8.0
FLOOR = 16 * float(np.finfo("float32").eps)
LIVELY = 30.0
"""An output proves something if the probes move it by so many tolerances."""


@dataclass(frozen=True)
class OutputParity:
    """How near one output of an artifact comes to the reference.

    All figures are relative to the largest reference output.
    """

    output: str
    max_error: float
    rms_error: float
    keras_max_error: float
    tolerance: float
    passed: bool

    def as_json(self):
        """Return the record as `report.json` holds it; null for no figure."""
        return {
            key: None if value == float("inf") else value
            for key, value in asdict(self).items()
        }


def max_error(outputs, reference):
    """Return the largest error over several batches, relative.

    Args:
        outputs: one array a batch.
        reference: the float64 arrays that they should equal.
    """
    return _error(outputs, reference, lambda difference: difference.max())


def tolerance(keras_error):
    """Return the error allowed, given the error of Keras in float32."""
    return max(FLOOR, FACTOR * keras_error)


def degenerate_outputs(probes):
    """Return a finding for each output that the probes hardly move."""
    findings = []
    for name, keras_error in probes.keras_error.items():
        batches = [batch[name] for batch in probes.reference]
        scale = _scale(batches)
        moved = _movement(batches)
        if not np.isfinite(scale):
            findings.append(
                f'reference: output "{name}" of the model itself is NaN or '
                "infinite"
            )
        elif moved <= LIVELY * tolerance(keras_error) * scale:
            findings.append(
                f'reference: output "{name}" hardly depends on the input '
                f"(it moves by {moved / scale if scale else 0:.1e} of its "
                "largest value), so it proves nothing; is the model trained, "
                "or do the samples fit it?"
            )
    return findings


def compare(results, specs, probes, limits=None):
    """Compare an artifact's outputs with the reference.

    Args:
        results: for each batch of probes, an array an output name.
        specs: the outputs that the artifact should have.
        probes: the inputs and the reference.
        limits: the error allowed an output name; `None` for what float32
            allows.

    Returns:
        A list of `OutputParity`, and a list of findings, each a sentence.
    """
    records, findings = [], []
    for spec in specs:
        reference = [batch[spec.name] for batch in probes.reference]
        outputs = [batch.get(spec.name) for batch in results]
        problem = _problem(outputs, reference, spec)
        keras_error = probes.keras_error[spec.name]
        allowed = limits[spec.name] if limits else tolerance(keras_error)
        worst = rms = float("inf")
        if not problem:
            worst = max_error(outputs, reference)
            rms = _error(outputs, reference, lambda d: np.sqrt(np.mean(d * d)))
            if not worst <= allowed:
                problem = f"is off by {worst:.1e}, allowed is {allowed:.1e}"
        records.append(
            OutputParity(
                spec.name, worst, rms, keras_error, allowed, not problem
            )
        )
        if problem:
            findings.append(f'output "{spec.name}" {problem}')
    return records, findings


def _problem(outputs, reference, spec):
    """Say why the outputs cannot be compared, or return an empty string."""
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


def _error(outputs, reference, norm):
    difference = np.concatenate(
        [
            np.abs(y.astype("float64") - r).ravel()
            for y, r in zip(outputs, reference, strict=True)
        ]
    )
    scale = _scale(reference) or 1.0
    return float(norm(difference) / scale) if difference.size else 0.0


def _scale(batches):
    """Return the largest value of all batches; NaN if one holds NaN."""
    return np.max([np.abs(batch).max(initial=0.0) for batch in batches])


def _movement(batches):
    """Return how far any one value moves from sample to sample."""
    by_size = defaultdict(list)
    for batch in batches:
        rows = batch.reshape(len(batch) if batch.ndim else 1, -1)
        by_size[rows.shape[1]].append(rows)
    return max(
        np.ptp(np.concatenate(rows), axis=0).max(initial=0.0)
        for rows in by_size.values()
    )
