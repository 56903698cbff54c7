"""Runs artifacts with their own runtimes and holds them to the reference.

Needs numpy and the runtimes alone: neither Keras nor, but for a SavedModel,
TensorFlow.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from keras_inception_export.bundle import bundle
from keras_inception_export.data.tensor_spec import TensorSpec, quantized_feed
from keras_inception_export.diagnosis.diagnose import (
    examine,
    load_layer_references,
)
from keras_inception_export.errors import (
    ArtifactError,
    ExportError,
    RuntimeMissingError,
    reason_of,
)
from keras_inception_export.formats.registry import (
    FORMATS,
    display_name,
    format_of,
)
from keras_inception_export.verification.parity import OutputParity, compare
from keras_inception_export.verification.probes import Probes


@dataclass(frozen=True)
class VerificationResult:
    """What came of running one artifact.

    Args:
        format: the artifact's format.
        quantization: how it is quantized; `None` for float32.
        parity: one record an output; empty if it could not be run.
        findings: what is wrong, a sentence each.
        missing: the runtime that is not installed here, if that is why.
    """

    format: str
    quantization: str | None = None
    parity: tuple[OutputParity, ...] = ()
    findings: tuple[str, ...] = ()
    missing: str = ""

    @property
    def name(self):
        """What a person calls the artifact."""
        return display_name(self.format, self.quantization)

    @property
    def passed(self):
        """Whether it was run, and nothing is wrong."""
        return not self.findings and not self.missing

    @property
    def diverges(self):
        """Whether it was run, and is wrong: some layer may be to blame."""
        return bool(self.findings and self.parity)


def verify_artifact(
    path, inputs, outputs, probes, *, quantization=None, limits=None
) -> VerificationResult:
    """Run one artifact on the probes and compare.

    Args:
        path: where it lies.
        inputs: the specs that its inputs should have, in order.
        outputs: the specs that its outputs should have, in order.
        probes: the inputs and the float64 reference.
        quantization: how it is quantized; `None` for float32.
        limits: the error allowed an output name; `None` for what float32
            allows.
    """
    result = VerificationResult(format_of(path).name, quantization)
    try:
        runner = FORMATS[result.format].open_runner(path)
        findings = [
            *_differences("inputs", inputs, runner.inputs),
            *_differences("outputs", outputs, runner.outputs),
        ]
        results = [_run(runner, feed) for feed in probes.feeds]
    except RuntimeMissingError as error:
        return replace(result, missing=str(error))
    except ExportError as error:
        return replace(result, findings=(str(error),))
    except Exception as error:
        finding = f"cannot be run: {reason_of(error)}"
        return replace(result, findings=(finding,))
    real = _as_real(outputs, runner.outputs)
    parity, more = compare(results, real, probes, limits)
    return replace(result, parity=tuple(parity), findings=(*findings, *more))


def _run(runner, feed):
    """Run on real values, and return real values."""
    outputs = runner.run(quantized_feed(runner.inputs, feed))
    return {
        spec.name: spec.dequantize(outputs[spec.name])
        for spec in runner.outputs
    }


def _as_real(specs, found):
    """Return specs of the real values that the artifact's outputs stand for."""
    quantized = {spec.name for spec in found if spec.scale is not None}
    return tuple(
        replace(spec, dtype="float32") if spec.name in quantized else spec
        for spec in specs
    )


def verify(folder) -> tuple[VerificationResult, ...]:
    """Run every artifact of a bundle again.

    Args:
        folder: a bundle that `export_model` wrote.

    Returns:
        One `VerificationResult` an artifact. One that does not hold names the first layer
        that diverges, or says why it cannot be told. Where a runtime is not
        installed, `missing` says which.

    Raises:
        RequestError: if `folder` is not a bundle.
        ArtifactError: if its report or its probes are damaged.
    """
    folder = Path(folder)
    report = bundle.read_report(folder)
    probes = Probes.load(bundle.published(folder, report, "probes"))
    results = [
        _verify_artifact(folder, artifact, probes)
        for artifact in report["artifacts"]
    ]
    if "layer_references" in report and any(
        result.diverges for result in results
    ):
        results = _all_explained(results, folder, report)
    return tuple(results)


def _all_explained(results, folder, report):
    """Add to what is wrong where it starts, or why that cannot be told."""
    try:
        layer_references, feeds = load_layer_references(folder, report)
    except ExportError as error:
        finding = f"the first layer that diverges cannot be told: {error}"
        return [
            replace(result, findings=(*result.findings, finding))
            if result.diverges
            else result
            for result in results
        ]
    return [
        with_diagnosis(result, folder, artifact, layer_references, feeds)
        for result, artifact in zip(results, report["artifacts"], strict=True)
    ]


def with_diagnosis(
    result: VerificationResult, folder, artifact, layer_references, feeds
) -> VerificationResult:
    """Add to what is wrong the first layer that diverges, if one is found.

    Args:
        result: what came of running the artifact.
        folder: where it lies.
        artifact: its "format", "path" and "quantization".
        layer_references: those of the model.
        feeds: the inputs they belong to, in parts.
    """
    if not result.diverges:
        return result
    suspect = {**artifact, "sha256": None}
    first = examine(folder, suspect, layer_references, feeds).first
    if first is None:
        return result
    finding = f"the first layer that diverges is {first.described()}"
    return replace(result, findings=(*result.findings, finding))


def _verify_artifact(folder, artifact, probes):
    path = folder / artifact["path"]
    quantization = artifact.get("quantization")
    if not path.exists():
        finding = f"{path} is missing"
        return VerificationResult(
            artifact["format"], quantization, findings=(finding,)
        )
    inputs, outputs = (
        tuple(map(TensorSpec.from_json, artifact[role]))
        for role in ("inputs", "outputs")
    )
    if {spec.name for spec in outputs} != set(probes.keras_error):
        raise ArtifactError(
            f"{folder / bundle.REPORT} and {bundle.PROBES} name different "
            "outputs; export the model again"
        )
    result = verify_artifact(
        path,
        inputs,
        outputs,
        probes,
        quantization=quantization,
        limits=quantization and _published_limits(artifact),
    )
    if bundle.sha256_of(path) == artifact["sha256"] or result.missing:
        return result
    finding = "is not the file that was published (its hash differs)"
    return replace(result, findings=(finding, *result.findings))


def _published_limits(artifact):
    """Return the error allowed a quantized artifact, as it was published."""
    return {
        record["output"]: record["tolerance"] for record in artifact["parity"]
    }


def _differences(role, expected, found):
    """Return a finding if names, order or dtypes are not the expected."""

    def text(specs):
        return ", ".join(f"{spec.name} ({spec.dtype})" for spec in specs)

    if text(expected) != text(found):
        return [f"has the {role} {text(found)}; expected {text(expected)}"]
    return []
