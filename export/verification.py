"""Runs artifacts with their own runtimes and holds them to the reference.

Needs numpy and the runtimes alone: neither Keras nor, but for a SavedModel,
TensorFlow.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from keras_inception_export import bundle
from keras_inception_export.diagnosis import examine, load_landmarks
from keras_inception_export.errors import (
    ArtifactError,
    ExportError,
    RuntimeMissingError,
    reason_of,
)
from keras_inception_export.formats import format_module
from keras_inception_export.parity import OutputParity, compare
from keras_inception_export.probes import Probes
from keras_inception_export.signature import TensorSpec


@dataclass(frozen=True)
class Proof:
    """What came of running one artifact.

    Args:
        format: the artifact's format.
        parity: one record an output; empty if it could not be run.
        findings: what is wrong, a sentence each.
        missing: the runtime that is not installed here, if that is why.
    """

    format: str
    parity: tuple[OutputParity, ...] = ()
    findings: tuple[str, ...] = ()
    missing: str = ""

    @property
    def passed(self):
        """Whether it was run, and nothing is wrong."""
        return not self.findings and not self.missing


def prove(format_name, path, inputs, outputs, probes) -> Proof:
    """Run one artifact on the probes and compare.

    Args:
        format_name: its format.
        path: where it lies.
        inputs: the specs that its inputs should have, in order.
        outputs: the specs that its outputs should have, in order.
        probes: the inputs and the float64 reference.
    """
    try:
        runner = format_module(format_name).open_runner(path)
        findings = [
            *_differences("inputs", inputs, runner.inputs),
            *_differences("outputs", outputs, runner.outputs),
        ]
        results = [runner.run(feed) for feed in probes.feeds]
    except RuntimeMissingError as error:
        return Proof(format_name, missing=str(error))
    except ExportError as error:
        return Proof(format_name, findings=(str(error),))
    except Exception as error:
        finding = f"cannot be run: {reason_of(error)}"
        return Proof(format_name, findings=(finding,))
    parity, more = compare(results, outputs, probes)
    return Proof(format_name, tuple(parity), (*findings, *more))


def verify(folder) -> tuple[Proof, ...]:
    """Run every artifact of a bundle again.

    Args:
        folder: a bundle that `export_model` wrote.

    Returns:
        One `Proof` an artifact. One that does not hold names the first layer
        that diverges. Where a runtime is not installed, `missing`
        says which.

    Raises:
        RequestError: if `folder` is not a bundle.
        ArtifactError: if its report or its probes are damaged.
    """
    folder = Path(folder)
    report = bundle.read_report(folder)
    probes = Probes.load(bundle.published(folder, report, "probes"))
    proofs = [
        _verify_artifact(folder, artifact, probes)
        for artifact in report["artifacts"]
    ]
    if "landmarks" in report and any(proof.findings for proof in proofs):
        landmarks, feeds = load_landmarks(folder, report)
        proofs = [
            explained(proof, folder, artifact, landmarks, feeds)
            for proof, artifact in zip(proofs, report["artifacts"], strict=True)
        ]
    return tuple(proofs)


def explained(proof: Proof, folder, artifact, landmarks, feeds) -> Proof:
    """Add to what is wrong the first layer that diverges, if one is found.

    Args:
        proof: what came of running the artifact.
        folder: where it lies.
        artifact: its "format", "path" and "quantization".
        landmarks: those of the model.
        feeds: the inputs they belong to, in parts.
    """
    if not proof.findings or not proof.parity:
        return proof
    suspect = {**artifact, "sha256": None}
    first = examine(folder, suspect, landmarks, feeds).first
    if first is None:
        return proof
    finding = f"the first layer that diverges is {first.described()}"
    return replace(proof, findings=(*proof.findings, finding))


def _verify_artifact(folder, artifact, probes):
    path = folder / artifact["path"]
    if not path.exists():
        return Proof(artifact["format"], findings=(f"{path} is missing",))
    inputs, outputs = (
        tuple(map(TensorSpec.from_json, artifact[role]))
        for role in ("inputs", "outputs")
    )
    if {spec.name for spec in outputs} != set(probes.keras_error):
        raise ArtifactError(
            f"{folder / bundle.REPORT} and {bundle.PROBES} name different "
            "outputs; export the model again"
        )
    proof = prove(artifact["format"], path, inputs, outputs, probes)
    if bundle.sha256_of(path) == artifact["sha256"] or proof.missing:
        return proof
    finding = "is not the file that was published (its hash differs)"
    return Proof(proof.format, proof.parity, (finding, *proof.findings))


def _differences(role, expected, found):
    """Return a finding if names, order or dtypes are not the expected."""

    def text(specs):
        return ", ".join(f"{spec.name} ({spec.dtype})" for spec in specs)

    if text(expected) != text(found):
        return [f"has the {role} {text(found)}; expected {text(expected)}"]
    return []
