"""What a benchmark measures: a bundle's artifacts, and the Keras model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_inception_export.bundle import bundle
from keras_inception_export.errors import RequestError
from keras_inception_export.formats.registry import display_name

KERAS = "Keras"
"""Name of the Keras model's row."""


@dataclass(frozen=True)
class Candidate:
    """Something to measure: one row of the table.

    Args:
        path: the artifact, or the `.keras` file.
        format: the artifact's format; `None` for the Keras model itself.
        facts: the cells that are known without a measurement.
        required: whether it is an error if it cannot be run although its
            runtime is installed.
        missing: why it cannot be run here; `""` if it may.
    """

    name: str
    path: Path
    format: str | None
    facts: Mapping[str, Any]
    required: bool = True
    missing: str = ""


def keras_candidate(
    report: Mapping[str, Any], file: str | Path | None
) -> Candidate:
    """Return the Keras model as a candidate."""
    known = report["model"].get("keras_path")
    path = Path(file or known or "")
    if file is not None and not path.is_file():
        raise RequestError(f"{file} does not exist; name a .keras file")
    if not path.is_file():
        why = f"{known} is not there" if known else "made from a live model"
        missing = f"{why}; name its file with --keras FILE"
        return Candidate(KERAS, path, None, {}, missing=missing)
    parity = [r for a in report["artifacts"] for r in a.get("parity") or ()]
    evaluation = report.get("evaluation") or {}
    accuracies = evaluation.get("keras_accuracy") or {}
    facts = {
        "format": "keras",
        "quantization": None,
        "bytes": path.stat().st_size,
        "error": _worst(max, (r.get("keras_max_error") for r in parity)),
        "agreement": None,
        "accuracy": _worst(min, accuracies.values()),
    }
    return Candidate(KERAS, path, None, facts, required=file is not None)


def artifact_candidate(folder: Path, entry: Mapping[str, Any]) -> Candidate:
    """Return an artifact of a bundle as a candidate, with its figures."""
    path = folder / entry["path"]
    effect = "the report does not apply to it"
    bundle.check_unchanged(path, entry["sha256"], effect)
    name, scheme = entry["format"], entry.get("quantization")
    measured = entry.get("measured") or ()
    # A quantized artifact's error on the probes, which are random, says little
    # about the user's data.
    compared = measured if scheme else entry["parity"]
    facts = {
        "format": name,
        "quantization": scheme,
        "bytes": entry["bytes"],
        "error": _worst(max, (r.get("max_error") for r in compared)),
        "agreement": _worst(min, (r.get("agreement") for r in measured)),
        "accuracy": _worst(min, (r.get("accuracy") for r in measured)),
    }
    return Candidate(display_name(name, scheme), path, name, facts)


def _worst(choose: Any, figures: Iterable[float | None]) -> float | None:
    """Return the worst figure of all outputs; `None` if there is none."""
    return choose((f for f in figures if f is not None), default=None)
