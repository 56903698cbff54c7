"""Write a quantization scheme in every format, or explain why it fails.

Every artifact must meet the acceptance criteria. An int8 artifact that does
not is written again with some layers in float.
"""

from collections.abc import Sequence

from keras_inception_export.diagnosis.capture import capture_layer_references
from keras_inception_export.diagnosis.diagnose import examine
from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.schemes import PREPARED_SCHEME
from keras_inception_export.logs import first_names, logger
from keras_inception_export.quantization.artifact_writer import (
    ArtifactWriter,
    WrittenArtifact,
)
from keras_inception_export.quantization.metrics import MIN_SNR_DB
from keras_inception_export.quantization.mixed_precision import (
    MixedPrecisionSearch,
)


def write_scheme(writer: ArtifactWriter, scheme: str) -> list[WrittenArtifact]:
    """Write one scheme in every requested format that has it.

    Raises:
        ArtifactError: if an artifact fails the acceptance criteria, for int8
            whatever layers stay in float.
    """
    formats = writer.options.quantized_formats(scheme)
    written = [writer.write(name, scheme) for name in formats]
    if scheme == PREPARED_SCHEME:
        search = MixedPrecisionSearch(writer)
        written = [search.improve(artifact) for artifact in written]
    failed = [artifact for artifact in written if artifact.findings]
    if failed:
        raise ArtifactError(_explanation(writer, failed, scheme))
    for artifact in written:
        _warn_of_float_layers(writer, artifact)
        _warn_of_lost_columns(writer, artifact)
    return written


def _warn_of_lost_columns(
    writer: ArtifactWriter, artifact: WrittenArtifact
) -> None:
    """Add a warning if columns that are not judged are lost."""
    for record in artifact.measured:
        if lost := record.lost_columns:
            _warn(
                writer,
                f"{artifact.name}: {first_names(lost)} of output "
                f'"{record.output}" have less than {MIN_SNR_DB:.0f} dB of '
                "signal to noise; they are nearly always the same, and small "
                "changes of the weights change them as much, so they are not "
                "judged",
            )


def _warn_of_float_layers(
    writer: ArtifactWriter, artifact: WrittenArtifact
) -> None:
    """Add a warning if most layers of an int8 artifact are not in int8."""
    kept = artifact.float_layers
    if not kept:
        return
    number = len({*writer.quantizer(artifact.format).layers, *kept})
    if 2 * len(kept) > number:
        warning = (
            f"{artifact.name}: {len(kept)} of {number} layers stay in float, "
            "so they are as large and as slow as in float32; compare it with "
            "float16 and dynamic, or give more samples (--calibration-samples)"
        )
        _warn(writer, warning)


def _warn(writer: ArtifactWriter, warning: str) -> None:
    if writer.evaluation:
        writer.evaluation.warnings.append(warning)
        logger.info("Warning  %s", warning)


def _explanation(
    writer: ArtifactWriter, failed: Sequence[WrittenArtifact], scheme: str
) -> str:
    """Return what failed, the worst layer, what was tried, and what to do."""
    model = writer.model(scheme)
    references = capture_layer_references(
        model.inference_model, writer.probes.together()
    )
    feeds = writer.probes.singles()
    parts = []
    for artifact in failed:
        parts += [f"{artifact.name}: {text}" for text in artifact.findings]
        entry = artifact.as_json()
        worst = examine(writer.folder, entry, references, feeds).first
        if worst:
            parts.append(f"{artifact.name}: worst is {worst.described()}")
    if scheme == PREPARED_SCHEME:
        parts.append(
            f"already tried: {model.channels} channels equalized, and any "
            "number of layers in float"
        )
    if writer.evaluation:
        parts += writer.evaluation.warnings
    parts.append(" or ".join(_remedies(writer, failed, scheme)))
    return "; ".join(parts)


def _remedies(
    writer: ArtifactWriter, failed: Sequence[WrittenArtifact], scheme: str
) -> list[str]:
    """Return what the user can do, the best first."""
    remedies = []
    if scheme == PREPARED_SCHEME and writer.options.quantized_io:
        remedies.append(
            "leave --quantized-io out, with which all values of an output "
            "have one scale,"
        )
    # Only the criteria of class scores compare with Keras.
    if any("Keras" in text for x in failed for text in x.findings):
        remedies.append("lower --min-agreement, raise --max-accuracy-drop,")
    return [*remedies, f"leave the scheme {scheme} out"]
