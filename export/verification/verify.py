"""Run artifacts with their own runtimes and compare them with the reference.

`verify` does so for a published bundle, `verify_artifact` for one artifact.
Both need numpy and the runtimes only: neither Keras nor, except for a
SavedModel, TensorFlow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export import errors
from keras_inception_export.bundle import bundle
from keras_inception_export.bundle.artifact import Artifact
from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec, quantized_feed
from keras_inception_export.diagnosis.diagnose import (
    examine,
    load_layer_references,
)
from keras_inception_export.diagnosis.layer_reference import (
    Feeds,
    LayerReferences,
)
from keras_inception_export.formats.format import Runner
from keras_inception_export.formats.registry import (
    FORMATS,
    display_name,
    format_of,
)
from keras_inception_export.verification.declared import difference
from keras_inception_export.verification.degenerate import (
    degenerate_outputs,
)
from keras_inception_export.verification.parity import OutputParity, compare
from keras_inception_export.verification.probes import USUAL, Probes

SLACK = 1.5
"""The tolerance of a quantized artifact, as a multiple of its error at the
time of publication: processors round int8 differently."""

MAX_QUANTIZED_ERROR = 1.0
"""The largest error of a quantized artifact that is published, relative to the
largest value. It is that of an output of zeros."""


@dataclass(frozen=True)
class VerificationResult:
    """The result of running and comparing one artifact.

    Args:
        format: the name of the artifact's format.
        quantization: its scheme; `None` for float32.
        parity: one record per output; empty if the artifact was not run.
        findings: what is wrong, one sentence each.
        missing: the message that its runtime is not installed; empty if the
            runtime is installed.
        inputs, outputs: what the runtime says of them.
    """

    format: str
    quantization: str | None = None
    parity: tuple[OutputParity, ...] = ()
    findings: tuple[str, ...] = ()
    missing: str = ""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    @property
    def name(self) -> str:
        """The name for messages and tables: `onnx`, or `onnx int8`."""
        return display_name(self.format, self.quantization)

    @property
    def passed(self) -> bool:
        """Whether the artifact was run and has no findings."""
        return not self.findings and not self.missing

    @property
    def diverges(self) -> bool:
        """Whether it was run and has findings, so a layer may be the cause."""
        return bool(self.findings and self.parity)


def verify_artifact(
    path: Path,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    probes: Probes,
    *,
    quantization: str | None = None,
    published: Mapping[str, Mapping[str, Any]] | None = None,
    report: Mapping[str, Any] | None = None,
) -> VerificationResult:
    """Run one artifact on the probes and compare its outputs.

    It must have the expected inputs and outputs, and be what the report of its
    bundle declares, if there is one.
    """
    result = VerificationResult(format_of(path).name, quantization)
    if quantization:
        probes = probes.only()
    try:
        runner = FORMATS[result.format].open(path)
        Artifact(runner, name=str(path))  # which checks the inputs
        results = [_run(runner, feed) for feed in probes.feeds]
        wrong = report and difference(report, path, runner)
    except errors.RuntimeMissingError as error:
        return replace(result, missing=str(error))
    except Exception as error:
        if reason := errors.exhausted(error):
            raise errors.RequestError(
                f"{path} cannot be run: {reason}"
            ) from error
        finding = f"cannot be run: {errors.reason_of(error)}"
        if isinstance(error, errors.ExportError):
            finding = str(error)
        return replace(result, findings=(finding,))
    findings = [
        f"has the {role} {_listed(found)}; expected {_listed(expected)}"
        for role, expected, found in (
            ("inputs", inputs, runner.inputs),
            ("outputs", outputs, runner.outputs),
        )
        if _listed(found) != _listed(expected)
    ]
    if wrong and not findings:
        findings = [wrong]
    real = _dequantized(outputs, runner.outputs)
    parity, more = compare(
        *(results, real, probes, published), quantized=bool(quantization)
    )
    return replace(
        result,
        parity=tuple(parity),
        findings=(*findings, *more),
        inputs=tuple(runner.inputs),
        outputs=tuple(runner.outputs),
    )


def _dequantized(
    specs: Sequence[TensorSpec], of_artifact: Sequence[TensorSpec]
) -> list[TensorSpec]:
    """Return the specs of real values, where the artifact has integers."""
    quantized = {spec.name for spec in of_artifact if spec.scale is not None}
    return [
        replace(spec, dtype="float32") if spec.name in quantized else spec
        for spec in specs
    ]


def _run(
    runner: Runner, feed: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Run on real values, quantized if necessary, and return real values."""
    outputs = runner.run(quantized_feed(runner.inputs, feed))
    return {
        spec.name: spec.dequantize(outputs[spec.name])
        for spec in runner.outputs
    }


def _listed(specs: Sequence[TensorSpec]) -> str:
    """Return the names and dtypes of inputs or outputs, in order."""
    return ", ".join(f"{spec.name} ({spec.dtype})" for spec in specs)


@bundle.restarted_if_replaced
def verify(
    folder: str | Path, *, sha256: str | None = None
) -> tuple[VerificationResult, ...]:
    """Verify every artifact of a bundle again.

    An artifact is opened only if its hash is that in the report. If the bundle
    is replaced by another one in the meantime, the new one is verified.

    Args:
        folder: a bundle that `export_model` wrote.
        sha256: the expected hash of its `report.json`, in hexadecimal digits.
            The report has the hashes of all other files, so that it alone
            authenticates the bundle. Defaults to `None`: any.

    Returns:
        One `VerificationResult` per artifact. The last finding of an artifact
        with wrong outputs names the first layer that diverges. Where a runtime
        is not installed, `missing` names it.

    Raises:
        RequestError: if `folder` is not a bundle.
        ArtifactError: if its report, probes or layer references are damaged,
            or if the report has another hash.
    """
    folder = Path(folder)
    report = bundle.read_report(folder, sha256)
    if "layer_references" in report:
        bundle.published(folder, report, "layer_references")
    probes = Probes.load(bundle.published(folder, report, "probes"))
    _check_probes(probes, report)
    results = [
        _verify_artifact(folder, report, artifact, probes)
        for artifact in report["artifacts"]
    ]
    diverges = any(result.diverges for result in results)
    if diverges and "layer_references" in report:
        references, feeds = load_layer_references(folder, report)
        results = [
            with_diagnosis(result, folder, artifact, references, feeds)
            for result, artifact in zip(
                results, report["artifacts"], strict=True
            )
        ]
    return tuple(results)


def _check_probes(probes: Probes, report: Mapping[str, Any]) -> None:
    """Raise ArtifactError for probes that could not have been published."""
    for artifact in report["artifacts"]:
        inputs, outputs = _specs(artifact)
        with reading(bundle.PROBES, "does not fit the report"):
            probes.check_fits(inputs, outputs, report["probes"])
    findings = degenerate_outputs(probes, _dequantized(outputs, outputs))
    if findings:
        raise errors.ArtifactError(f"{bundle.PROBES}: {'; '.join(findings)}")


def _specs(artifact: Mapping[str, Any]) -> list[tuple[TensorSpec, ...]]:
    """Return the inputs and outputs of an artifact of a report."""
    return [
        tuple(map(TensorSpec.from_json, artifact[role]))
        for role in ("inputs", "outputs")
    ]


def with_diagnosis(
    result: VerificationResult,
    folder: Path,
    artifact: Mapping[str, Any],
    references: LayerReferences,
    feeds: Feeds,
) -> VerificationResult:
    """Add a finding that names the first layer that diverges.

    Layers are compared on usual inputs. Where only others show the difference,
    the finding names those.
    """
    if not result.diverges:
        return result
    suspect = {**artifact, "sha256": None}
    diagnosis = examine(folder, suspect, references, feeds)
    failed = {x.regime for x in result.parity if not x.passed}
    if diagnosis.first:
        layer = diagnosis.first.described()
        finding = f"the first layer that diverges is {layer}"
    elif diagnosis.layers and (unusual := sorted(failed - {*USUAL, ""})):
        finding = (
            "no layer diverges on usual inputs, on which layers are compared; "
            f"{', '.join(unusual)} inputs show the difference, as of a bound "
            "of an activation or of an overflow"
        )
    else:
        return result
    return replace(result, findings=(*result.findings, finding))


def _verify_artifact(
    folder: Path,
    report: Mapping[str, Any],
    artifact: Mapping[str, Any],
    probes: Probes,
) -> VerificationResult:
    """Verify one artifact of a bundle, as its report describes it."""
    path = folder / artifact["path"]
    quantization = artifact.get("quantization")
    unopened = VerificationResult(artifact["format"], quantization)
    if not path.exists():
        return replace(unopened, findings=(f"{path} is missing",))
    if bundle.sha256_of(path) != artifact["sha256"]:
        finding = "is not the file that was published (its hash differs)"
        return replace(unopened, findings=(finding,))
    inputs, outputs = _specs(artifact)
    published = {record["output"]: record for record in artifact["parity"]}
    if quantization and not all(
        x["tolerance"] is not None
        and x["tolerance"] <= SLACK * MAX_QUANTIZED_ERROR
        for x in published.values()
    ):
        finding = "has a tolerance in the report that is never published"
        return replace(unopened, findings=(finding,))
    return verify_artifact(
        *(path, inputs, outputs, probes),
        quantization=quantization,
        published=published,
        report=report,
    )
