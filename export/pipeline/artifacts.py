"""Write the artifacts of an export, verify them, and report on them."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_inception_export import errors
from keras_inception_export.bundle import bundle
from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.logs import logger
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization.artifact_writer import (
    ArtifactWriter,
    WrittenArtifact,
)
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.metrics import MIN_SNR_DB
from keras_inception_export.quantization.scheme_writer import write_scheme
from keras_inception_export.verification import verify
from keras_inception_export.verification.parity import FLOOR
from keras_inception_export.verification.probes import Probes

NOISE = 10 ** (-MIN_SNR_DB / 20)
"""The largest error of a quantized artifact, relative to the largest value,
where there are no samples to measure it on."""


def write_float(
    model: InferenceModel, folder: Path, options: ExportOptions
) -> list[WrittenArtifact]:
    """Write every requested format in float32."""
    written = []
    for name in options.formats:
        logger.info("Write  %s", name)
        start = time.perf_counter()
        path = folder / FORMATS[name].file_name
        with _named_failures(name, folder):
            FORMATS[name].write(model, path, opset=options.opset)
        seconds = round(time.perf_counter() - start, 2)
        written.append(WrittenArtifact(name, None, path, seconds))
    return written


def write_quantized(
    model: InferenceModel,
    evaluation: Evaluation | None,
    probes: Probes,
    folder: Path,
    options: ExportOptions,
) -> tuple[list[WrittenArtifact], InferenceModel | None]:
    """Write every quantized artifact; also return the equalized model."""
    written: list[WrittenArtifact] = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".work-") as workdir:
        writer = ArtifactWriter(
            model, evaluation, probes, folder, Path(workdir), options
        )
        for scheme in options.quantize:
            with _named_failures(scheme, folder):
                written += write_scheme(writer, scheme)
        if PREPARED_SCHEME in options.quantize:
            return written, writer.prepared.inference_model
    return written, None


def add_metadata(
    artifact: WrittenArtifact, model: InferenceModel, metadata: Metadata
) -> None:
    """Write into an artifact what it says of itself."""
    record = FORMATS[artifact.format]
    specs = model.inputs, model.outputs
    if artifact.quantization:  # it may have other types
        specs = record.specs(artifact.path)
    own = metadata.of_artifact(*specs, artifact.quantization)
    record.write_metadata(artifact.path, own)


@contextlib.contextmanager
def _named_failures(name: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except errors.ExportError:
        raise
    except Exception as error:
        reason = errors.exhausted(error)
        if isinstance(error, OSError):
            reason = errors.os_reason(error)
        if not folder.exists():
            reason = f"{folder} was removed meanwhile"
        if reason:
            raise errors.RequestError(
                f"{name} cannot be written: {reason}; the previous contents "
                "of the output folder are unchanged"
            ) from error
        reason = errors.reason_of(error)
        raise errors.ConversionError(
            f"the model cannot be converted to {name}: {reason}"
        ) from error


def verify_written(
    artifact: WrittenArtifact,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    probes: Probes,
    options: ExportOptions,
) -> verify.VerificationResult:
    """Run an artifact on the probes and compare its outputs.

    The error of a quantized artifact sets its tolerance for later. That error
    was limited on the samples; without samples, it is limited on the probes.
    """
    logger.info("Verify  %s", artifact.name)
    if not artifact.quantization:
        return verify.verify_artifact(artifact.path, inputs, outputs, probes)
    if artifact.quantization == PREPARED_SCHEME and options.quantized_io:
        inputs, outputs = (
            [
                replace(spec, dtype=options.quantized_io)
                if spec.dtype.startswith("float")
                else spec
                for spec in specs
            ]
            for specs in (inputs, outputs)
        )
    limit = verify.MAX_QUANTIZED_ERROR if artifact.measured else NOISE
    result = verify.verify_artifact(
        *(artifact.path, inputs, outputs, probes),
        quantization=artifact.quantization,
        published=dict.fromkeys(probes.reference[0], {"tolerance": limit}),
    )
    parity = (
        replace(x, tolerance=max(FLOOR, verify.SLACK * x.max_error))
        for x in result.parity
    )
    return replace(result, parity=tuple(parity))


def artifact_report(
    artifact: WrittenArtifact,
    result: verify.VerificationResult,
    evaluation: Evaluation | None,
) -> dict[str, Any]:
    """Return the entry of an artifact in `report.json`."""
    measured = artifact.measured
    if evaluation and not measured:
        measured = evaluation.measure(load_artifact(artifact.path))
    return {
        **artifact.as_json(),
        "bytes": FORMATS[artifact.format].nbytes(artifact.path),
        "sha256": bundle.sha256_of(artifact.path),
        "inputs": [spec.as_json() for spec in result.inputs],
        "outputs": [spec.as_json() for spec in result.outputs],
        "seconds": artifact.seconds,
        "parity": [record.as_json() for record in result.parity],
        "measured": [record.as_json() for record in measured],
        "equalized_channels": artifact.equalized_channels,
        "float_layers": list(artifact.float_layers),
        "float_cost": artifact.float_cost,
        "passed": result.passed,
    }
