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
from keras_inception_export.verification.parity import OutputParity, compare
from keras_inception_export.verification.probes import Probes


@dataclass(frozen=True)
class VerificationResult:
    """The result of running and comparing one artifact.

    Args:
        format: the name of the artifact's format.
        quantization: its scheme; `None` for float32.
        parity: one record per output; empty if the artifact was not run.
        findings: what is wrong, one sentence each.
        missing: the message that its runtime is not installed; empty if it
            is.
    """

    format: str
    quantization: str | None = None
    parity: tuple[OutputParity, ...] = ()
    findings: tuple[str, ...] = ()
    missing: str = ""

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
    limits: Mapping[str, float] | None = None,
) -> VerificationResult:
    """Run one artifact on the probes and compare its outputs."""
    result = VerificationResult(format_of(path).name, quantization)
    if quantization:
        probes = probes.only()
    try:
        runner = FORMATS[result.format].open(path)
        results = [_run(runner, feed) for feed in probes.feeds]
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
    quantized = {x.name for x in runner.outputs if x.scale is not None}
    dequantized = [
        replace(spec, dtype="float32") if spec.name in quantized else spec
        for spec in outputs
    ]
    parity, more = compare(results, dequantized, probes, limits)
    return replace(result, parity=tuple(parity), findings=(*findings, *more))


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


def verify(
    folder: str | Path, *, sha256: str | None = None
) -> tuple[VerificationResult, ...]:
    """Verify every artifact of a bundle again.

    An artifact is opened only if its hash is that of the report. If the bundle
    is replaced by another one meanwhile, that one is verified.

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
    while True:
        before = bundle.identity(folder)
        try:
            results = _verify(folder, sha256)
        except errors.ExportError:
            if bundle.identity(folder) == before:
                raise
        else:
            if bundle.identity(folder) == before:
                return results


def _verify(folder: Path, sha256: str | None) -> tuple[VerificationResult, ...]:
    report = bundle.read_report(folder, sha256)
    if "layer_references" in report:
        bundle.published(folder, report, "layer_references")
    probes = Probes.load(bundle.published(folder, report, "probes"))
    results = [
        _verify_artifact(folder, artifact, probes)
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


def with_diagnosis(
    result: VerificationResult,
    folder: Path,
    artifact: Mapping[str, Any],
    references: LayerReferences,
    feeds: Feeds,
) -> VerificationResult:
    """Add a finding that names the first layer that diverges, if any does."""
    if not result.diverges:
        return result
    suspect = {**artifact, "sha256": None}
    first = examine(folder, suspect, references, feeds).first
    if first is None:
        return result
    finding = f"the first layer that diverges is {first.described()}"
    return replace(result, findings=(*result.findings, finding))


def _verify_artifact(
    folder: Path, artifact: Mapping[str, Any], probes: Probes
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
    inputs, outputs = (
        tuple(map(TensorSpec.from_json, artifact[role]))
        for role in ("inputs", "outputs")
    )
    if {spec.name for spec in outputs} != set(probes.reference[0]):
        raise errors.ArtifactError(
            f"{folder / bundle.REPORT} and {bundle.PROBES} name different "
            "outputs; export the model again"
        )
    limits = None
    if quantization:
        limits = {x["output"]: x["tolerance"] for x in artifact["parity"]}
    return verify_artifact(
        path, inputs, outputs, probes, quantization=quantization, limits=limits
    )
