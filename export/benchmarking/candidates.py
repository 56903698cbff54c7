"""What a benchmark measures: a bundle's artifacts, and Keras beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_inception_export.benchmarking import keras_baseline
from keras_inception_export.bundle import bundle
from keras_inception_export.child_process import run_in_child
from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.formats.registry import display_name
from keras_inception_export.logs import logger

ONNX_LIMIT = 100e6
"""Bytes of weights up to which Keras's own ONNX export is tried.

It needs fifty times their memory.
"""
KERAS = "Keras"


@dataclass(frozen=True)
class Candidate:
    """One row of the table.

    Args:
        name: what the table calls it.
        job: what its process is told.
        facts: the cells that are known beforehand.
        required: whether it is an error if it cannot be run, although its
            runtime is there.
    """

    name: str
    job: Mapping[str, Any]
    facts: Mapping[str, Any]
    required: bool = True


@dataclass(frozen=True)
class Unavailable:
    """Something that has no row, and why."""

    name: str
    reason: str


def artifacts(folder: Path, report: Mapping) -> list[Candidate]:
    """Return the candidates that a bundle holds.

    Raises:
        ArtifactError: if a file is not the one that was published.
    """
    return [_artifact(folder, facts) for facts in report["artifacts"]]


def keras_model(
    report: Mapping, file: str | Path | None
) -> Candidate | Unavailable:
    """Return the candidate of the model itself, or why there is none.

    Args:
        report: the bundle's report.
        file: the `.keras` file, where it is not the one in the report.

    Raises:
        RequestError: if `file` does not exist.
    """
    known = report["model"].get("keras_path")
    path = Path(file or known or "")
    if file is not None and not path.is_file():
        raise RequestError(f"{file} does not exist; name a .keras file")
    if not path.is_file():
        why = f"{known} is not there" if known else "made from a live model"
        return Unavailable(KERAS, f"{why}; name its file with --keras FILE")
    parity = [r for a in report["artifacts"] for r in a.get("parity") or ()]
    evaluation = report.get("evaluation") or {}
    accuracies = evaluation.get("keras_accuracy") or {}
    return Candidate(
        KERAS,
        {"kind": "keras", "path": str(path)},
        _facts(
            "keras",
            path.stat().st_size,
            error=_largest(r.get("keras_max_error") for r in parity),
            accuracy=_least(accuracies.values()),
        ),
        required=file is not None,
    )


def keras_exports(
    report: Mapping,
    keras: Candidate | Unavailable,
    modules: Sequence[str],
    folder: str,
) -> list[Candidate | Unavailable]:
    """Write Keras's own exports of the model, in a process of its own.

    Args:
        report: the bundle's report.
        keras: what `keras_model` returned.
        modules: what to import for custom layers.
        folder: where the exports go.

    Raises:
        RequestError: if there is no `.keras` file, or it cannot be used.
    """
    if isinstance(keras, Unavailable):
        raise RequestError(
            f"--against keras needs the model's .keras file: {keras.reason}"
        )
    if len(report["artifacts"][0]["inputs"]) > 1:
        raise RequestError(
            "--against keras compares models of one input; this one has "
            f"{len(report['artifacts'][0]['inputs'])}"
        )
    formats, too_large = _formats(report["model"]["parameters"])
    logger.info("Write  %s by Keras", ", ".join(formats))
    job = {
        "path": keras.job["path"],
        "modules": list(modules),
        "folder": folder,
        "formats": formats,
    }
    outcome = run_in_child(keras_baseline.__name__, "write_exports", **job)
    written: list[Candidate | Unavailable] = [
        _keras_export(name, Path(folder), reason)
        for name, reason in outcome.items()
    ]
    return written + ([too_large] if too_large else [])


def _formats(parameters):
    """Return the formats that Keras can write, and what is too large."""
    formats = list(keras_baseline.EXPORTS)
    weights = 4 * parameters
    if weights <= ONNX_LIMIT:
        return formats, None
    formats.remove("onnx")
    memory = f"{50 * weights / 1e9:.0f} GB"
    return formats, Unavailable(
        _by_keras("onnx"),
        f"it needs fifty times the memory of the weights, here {memory}",
    )


def _artifact(folder, artifact):
    path = folder / artifact["path"]
    if not path.exists():
        raise ArtifactError(f"{path} is missing; export the model again")
    if bundle.sha256_of(path) != artifact["sha256"]:
        raise ArtifactError(
            f"{path} is not the file that was published (its hash differs), "
            "so the report says nothing of it; export the model again"
        )
    name, scheme = artifact["format"], artifact.get("quantization")
    measured = artifact.get("measured") or ()
    # The probes of a quantized artifact say little of the user's data.
    compared = measured if scheme else artifact["parity"]
    return Candidate(
        display_name(name, scheme),
        {"kind": "artifact", "format": name, "path": str(path)},
        _facts(
            name,
            artifact["bytes"],
            quantization=scheme,
            error=_largest(r.get("max_error") for r in compared),
            agreement=_least(r.get("agreement") for r in measured),
            accuracy=_least(r.get("accuracy") for r in measured),
        ),
    )


def _keras_export(name, folder, reason):
    if reason:
        return Unavailable(_by_keras(name), reason)
    path = folder / keras_baseline.EXPORTS[name][1]
    job = {"kind": "keras_export", "format": name, "path": str(path)}
    facts = _facts(name, bundle.size_of(path))
    return Candidate(_by_keras(name), job, facts, required=False)


def _by_keras(name):
    return f"{name} by Keras"


def _facts(
    name, size, quantization=None, error=None, agreement=None, accuracy=None
):
    return {
        "format": name,
        "quantization": quantization,
        "bytes": size,
        "error": error,
        "agreement": agreement,
        "accuracy": accuracy,
    }


def _largest(figures):
    """Return the largest figure of all outputs; None where there is none."""
    return max((f for f in figures if f is not None), default=None)


def _least(figures):
    return min((f for f in figures if f is not None), default=None)
