"""Find the first layer at which an artifact diverges from its model.

`diagnose` compares every artifact of a bundle; `examine` compares one. Both
need numpy and the runtimes only.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_inception_export import errors
from keras_inception_export.bundle import bundle
from keras_inception_export.diagnosis import layer_comparison
from keras_inception_export.diagnosis.layer_reference import (
    Feeds,
    LayerReference,
    LayerReferences,
    TensorLocation,
)
from keras_inception_export.diagnosis.tensor_matching import locate_tensors
from keras_inception_export.formats.registry import FORMATS, format_of
from keras_inception_export.time_limit import limit, within
from keras_inception_export.verification.probes import Probes

MAX_LOCATION_ERROR = 0.5
"""A tensor of a verified artifact that differs by more from a layer reference
is not that layer's output."""


@dataclass(frozen=True)
class Diagnosis:
    """The comparison of one artifact with its model, layer by layer.

    Args:
        path: the path of the artifact in its bundle.
        format: the name of its format.
        quantization: its scheme; None if it is not quantized.
        layers: the layers that could be compared, in the network's order.
        reason: why no layer could be compared; empty if one could.
        damaged: whether the reason is a damaged artifact.
    """

    path: str
    format: str
    quantization: str | None = None
    layers: tuple[layer_comparison.LayerResult, ...] = ()
    reason: str = ""
    damaged: bool = False

    @property
    def first(self) -> layer_comparison.LayerResult | None:
        """The first layer that diverges; None if none does."""
        return next((layer for layer in self.layers if layer.diverges), None)

    @property
    def passed(self) -> bool:
        """Whether the artifact is not damaged and no layer diverges."""
        return not self.damaged and self.first is None

    def as_json(self) -> dict[str, Any]:
        """Return the diagnosis as `diagnose --json` prints it."""
        return {
            "format": self.format,
            "path": self.path,
            "quantization": self.quantization,
            "layers": [
                {key: _finite(value) for key, value in vars(layer).items()}
                for layer in self.layers
            ],
            "first_divergence": self.first and self.first.name,
            "not_examined": self.reason or None,
            "passed": self.passed,
        }


@bundle.restarted_if_replaced
def diagnose(folder) -> tuple[Diagnosis, ...]:
    """Compare every artifact of a bundle with the model, layer by layer.

    A float artifact is compared with the model in float64, a quantized one
    with its own values when it was published.

    Args:
        folder: a bundle that `export_model` wrote.

    Returns:
        One `Diagnosis` per artifact. One that is not the published file is
        damaged, unless a layer diverges.

    Raises:
        RequestError: if `folder` is not a bundle, or a bundle of an earlier
            version, without layer references.
        ArtifactError: if its report, probes or layer references are damaged.
    """
    folder = Path(folder)
    report = bundle.read_report(folder)
    known = load_layer_references(folder, report)
    return tuple(
        _checked(folder, artifact, examine(folder, artifact, *known))
        for artifact in report["artifacts"]
    )


def _checked(
    folder: Path, artifact: Mapping, diagnosis: Diagnosis
) -> Diagnosis:
    """Return the diagnosis of an artifact that may not be as published.

    One that is not is examined all the same, to find the layer that diverges.
    """
    if not diagnosis.passed:
        return diagnosis
    effect = "so its layers say nothing"
    try:
        path = folder / artifact["path"]
        bundle.check_unchanged(path, artifact["sha256"], effect)
    except errors.ArtifactError as error:
        return replace(diagnosis, reason=str(error), damaged=True)
    return diagnosis


def load_layer_references(
    folder: Path, report: Mapping
) -> tuple[LayerReferences, Feeds]:
    """Return the layer references of a bundle, and their inputs."""
    if "layer_references" not in report:
        raise errors.RequestError(
            f"{folder} was written by an earlier version, without layer "
            "references; expected a bundle that has them; export the model "
            "again"
        )
    path = bundle.published(folder, report, "layer_references")
    probes = bundle.published(folder, report, "probes")
    return LayerReferences.load(path), Probes.load(probes).singles()


def record_artifact(
    folder: Path, artifact: Mapping, references: LayerReferences, feeds: Feeds
) -> LayerReferences:
    """Return layer references with the locations of one verified artifact."""
    open_intermediates = FORMATS[artifact["format"]].intermediates
    if open_intermediates is None:
        return references
    layers = references.of(artifact)
    intermediates = open_intermediates(folder / artifact["path"])
    locations: list[TensorLocation | None] = [
        found if found and found.error <= MAX_LOCATION_ERROR else None
        for found in locate_tensors(intermediates, layers, feeds)
    ]
    if artifact.get("quantization"):
        # They are read again as `examine` will: the fewer values are read, the
        # more a runtime fuses, and fused steps round differently.
        locations = locate_tensors(intermediates, layers, feeds, locations)
    else:
        locations = [x and replace(x, values=None) for x in locations]
    artifacts = {**references.artifacts, artifact["path"]: locations}
    return replace(references, artifacts=artifacts)


def examine(
    folder: Path, artifact: Mapping, references: LayerReferences, feeds: Feeds
) -> Diagnosis:
    """Compare one artifact with the layer references.

    An artifact that was not published has no recorded values. Its layer is
    identified by the error then, or, if it is quantized, by the largest drop
    of the signal-to-noise ratio.
    """
    quantization = artifact.get("quantization")
    nothing = Diagnosis(artifact["path"], artifact["format"], quantization)
    record = FORMATS[artifact["format"]]
    if record.intermediates is None:
        reason = "its runtime does not show the outputs of layers"
        return replace(nothing, reason=reason)
    path = folder / artifact["path"]
    layers = references.of(artifact)
    published = references.artifacts.get(artifact["path"])
    try:
        format_of(path)  # a pipe, say, would be waited for
        intermediates = record.intermediates(path)
        locate = functools.partial(
            locate_tensors, intermediates, layers, feeds, published
        )
        seconds = limit(record.nbytes(path), len(feeds) * len(layers))
        found = within(seconds, f"running {path}", locate)
    except errors.RuntimeMissingError as error:
        return replace(nothing, reason=str(error))
    except errors.ExportError as error:
        return replace(nothing, reason=str(error), damaged=True)
    except Exception as error:
        reason = f"cannot be run: {errors.reason_of(error)}"
        return replace(nothing, reason=reason, damaged=True)
    results = []
    before = published or [None] * len(layers)
    for reference, now, then in zip(layers, found, before, strict=True):
        if now is not None and now.values is not None:
            result = layer_comparison.compare_layer(
                reference, now.values, then, quantization
            )
            merged = _merged_before(reference, layers, found)
            results.append(replace(result, merged=merged))
    results = layer_comparison.with_snr_drops(results)
    if quantization and published:
        altered = bundle.sha256_of(path) != artifact.get("sha256")
        results = layer_comparison.flag_first_change(results, altered)
    elif quantization:
        results = layer_comparison.flag_largest_snr_drop(results)
    if not results:
        return replace(nothing, reason="it holds the output of no layer")
    return replace(nothing, layers=tuple(results))


def _merged_before(
    reference: LayerReference,
    references: Sequence[LayerReference],
    found: Sequence[TensorLocation | None],
) -> tuple[str, ...]:
    """Return the layers directly before one whose outputs are not available.

    Any of them may be the cause of an error.
    """
    before: set[int] = set()
    left = [reference]
    while left:
        missing = {x for x in left.pop().sources if found[x] is None}
        left += [references[x] for x in missing - before]
        before |= missing
    return tuple(references[x].layer for x in sorted(before))


def _finite(value: Any) -> Any:
    """Return a value for JSON: None in place of infinity and NaN."""
    special = isinstance(value, float) and not math.isfinite(value)
    return None if special else value
