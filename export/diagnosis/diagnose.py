"""Where along the network an artifact goes wrong.

Needs numpy and the runtimes alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_inception_export.bundle import bundle
from keras_inception_export.diagnosis.layer_comparison import (
    LayerResult,
    compared,
    held_to_published,
    marked_at_largest_fall,
    with_falls,
)
from keras_inception_export.diagnosis.layer_reference import LayerReferences
from keras_inception_export.diagnosis.tensor_matching import locate, values_at
from keras_inception_export.errors import (
    ExportError,
    RequestError,
    RuntimeMissingError,
    reason_of,
)
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.verification.probes import Probes

UNRELATED = 0.5
"""A tensor of an artifact that holds is off by less, if it is the layer's."""


@dataclass(frozen=True)
class Diagnosis:
    """What one artifact computes, layer by layer.

    Args:
        path: the artifact's path in its bundle.
        format: its format.
        quantization: its scheme; None if it is not quantized.
        layers: what could be compared, in the order of the network.
        reason: why nothing could be; empty if something was.
        damaged: whether that is the artifact's own fault.
    """

    path: str
    format: str
    quantization: str | None = None
    layers: tuple[LayerResult, ...] = ()
    reason: str = ""
    damaged: bool = False

    @property
    def first(self) -> LayerResult | None:
        """The first layer that diverges."""
        return next((layer for layer in self.layers if layer.wrong), None)

    @property
    def passed(self) -> bool:
        """Whether nothing wrong was found."""
        return not self.damaged and self.first is None

    def as_json(self) -> dict:
        """Return the diagnosis as `diagnose --json` prints it."""
        return {
            "format": self.format,
            "path": self.path,
            "quantization": self.quantization,
            "layers": [_finite(vars(layer)) for layer in self.layers],
            "first_divergence": self.first and self.first.name,
            "not_examined": self.reason or None,
            "passed": self.passed,
        }


def diagnose(folder) -> tuple[Diagnosis, ...]:
    """Compare every artifact of a bundle with the model, layer by layer.

    A float artifact is held to the model computed in float64, a quantized
    one to what it gave when it was published.

    Args:
        folder: a bundle that `export_model` wrote.

    Returns:
        One `Diagnosis` an artifact.

    Raises:
        RequestError: if `folder` is not a bundle, or one of an earlier
            version, without layer references.
        ArtifactError: if its report, probes or layer references are damaged.
    """
    folder = Path(folder)
    report = bundle.read_report(folder)
    layer_references, feeds = load_layer_references(folder, report)
    return tuple(
        examine(folder, artifact, layer_references, feeds)
        for artifact in report["artifacts"]
    )


def load_layer_references(folder: Path, report: Mapping):
    """Return the layer references of a bundle, and the inputs they belong to.

    Raises:
        RequestError: if it has none.
        ArtifactError: if a file is damaged.
    """
    if "layer_references" not in report:
        raise RequestError(
            f"{folder} was written by an earlier version, without layer references "
            "to compare its layers with; export the model again"
        )
    layer_references = LayerReferences.load(
        bundle.published(folder, report, "layer_references")
    )
    probes = Probes.load(bundle.published(folder, report, "probes"))
    return layer_references, probes.singles()


def record(
    folder: Path,
    artifact: Mapping,
    layer_references: LayerReferences,
    feeds: Sequence[Mapping[str, np.ndarray]],
) -> LayerReferences:
    """Return layer references that know what an artifact that holds gives there.

    Args:
        folder: the bundle.
        artifact: its "format", "path" and "quantization", as in the report.
        layer_references: those of the model.
        feeds: the inputs they belong to, in parts.
    """
    open_intermediates = FORMATS[artifact["format"]].intermediates
    if open_intermediates is None:
        return layer_references
    intermediates = open_intermediates(folder / artifact["path"])
    quantized = artifact.get("quantization")
    return layer_references.with_artifact(
        artifact["path"],
        [
            replace(place, values=place.values if quantized else None)
            if place and place.error <= UNRELATED
            else None
            for place in locate(intermediates, layer_references.layers, feeds)
        ],
    )


def examine(
    folder: Path,
    artifact: Mapping,
    layer_references: LayerReferences,
    feeds: Sequence[Mapping[str, np.ndarray]],
) -> Diagnosis:
    """Compare one artifact with the layer references.

    Where nothing is recorded of it, since it was never published, a float
    artifact is told by its errors all the same, and a quantized one by where
    its signal to noise falls most.

    Args:
        folder: the bundle.
        artifact: its "format", "path" and "quantization", and "sha256" if it
            was published, as in the report.
        layer_references: those of the model.
        feeds: the inputs they belong to, in parts.
    """
    quantized = artifact.get("quantization")
    nothing = Diagnosis(artifact["path"], artifact["format"], quantized)
    open_intermediates = FORMATS[artifact["format"]].intermediates
    if open_intermediates is None:
        return replace(
            nothing,
            reason="TensorFlow runs it as one function, whose layers cannot "
            "be read",
        )
    path, marks = folder / artifact["path"], layer_references.layers
    published = layer_references.artifacts.get(artifact["path"])
    try:
        intermediates = open_intermediates(path)
        if published:
            values = values_at(intermediates, marks, feeds, published)
        else:
            places = locate(intermediates, marks, feeds)
            values = [place.values if place else None for place in places]
    except RuntimeMissingError as error:
        return replace(nothing, reason=str(error))
    except ExportError as error:
        return replace(nothing, reason=str(error), damaged=True)
    except Exception as error:
        reason = f"cannot be run: {reason_of(error)}"
        return replace(nothing, reason=reason, damaged=True)
    results = []
    for index, (mark, found) in enumerate(zip(marks, values, strict=True)):
        if found is not None:
            place = published[index] if published else None
            result = compared(mark, found, place, quantized)
            merged = _merged_before(mark, marks, values)
            results.append(replace(result, merged=merged))
    results = with_falls(results)
    if quantized and published:
        altered = bundle.sha256_of(path) != artifact.get("sha256")
        results = held_to_published(results, altered)
    elif quantized:
        results = marked_at_largest_fall(results)
    if not results:
        return replace(nothing, reason="it holds no layer's own output")
    return replace(nothing, layers=tuple(results))


def _merged_before(mark, marks, values) -> tuple[str, ...]:
    """Return the layers up to this one that the artifact holds nothing of.

    Only those with weights, to which an error may be due.
    """
    names: list[str] = []
    source = mark.source
    while source is not None and values[source] is None:
        if marks[source].weighted:
            names.insert(0, marks[source].layer)
        source = marks[source].source
    return tuple(names)


def _finite(facts: Mapping) -> dict:
    """Return facts that JSON can hold: null for what is not finite."""
    return {
        key: None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for key, value in facts.items()
    }
