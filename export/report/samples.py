"""Run the artifacts of a bundle on samples, and find where they disagree."""

import base64
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.bundle.artifact import Artifact, load_artifact
from keras_inception_export.data.batching import run
from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.preprocessing import PRESETS, Preprocessing
from keras_inception_export.data.samples import (
    Samples,
    load_samples,
    with_labels,
)
from keras_inception_export.errors import RuntimeMissingError
from keras_inception_export.formats.registry import artifact_name
from keras_inception_export.quantization import metrics

GALLERY = 24
"""Samples that are shown."""

PICTURE = 128
"""The longest side of a picture in pixels; a larger one is reduced."""


@dataclass(frozen=True)
class SampleResults:
    """The scores of each sample, by output and artifact.

    `missing` has why an artifact was not run; `preprocessing` is how pixels
    became the first input, if it is known.
    """

    samples: Samples
    scores: Mapping[str, Mapping[str, np.ndarray]]
    missing: Mapping[str, str]
    preprocessing: Preprocessing | None

    def classes(self, output: str) -> dict[str, np.ndarray]:
        """Return, per artifact, the class of each sample."""
        return {
            name: metrics.classes(values)
            for name, values in self.scores[output].items()
        }

    def disagreements(self, output: str) -> np.ndarray:
        """Return the rows of the samples that artifacts give other classes."""
        classes = np.stack([*self.classes(output).values()])
        return np.flatnonzero((classes != classes[0]).any(axis=0))

    def picture(self, row: int) -> str:
        """Return a sample's image as a data URI; empty if it is none."""
        array = next(iter(self.samples.inputs.values()))[row]
        pixels = _pixels(array, self.preprocessing)
        if pixels is None:
            return ""
        from PIL import Image

        image = Image.fromarray(pixels)
        image.thumbnail((PICTURE, PICTURE))
        content = BytesIO()
        image.save(content, "PNG")
        text = base64.b64encode(content.getvalue()).decode()
        return f"data:image/png;base64,{text}"


def run_samples(
    folder: Path,
    report: Mapping[str, Any],
    source: Any,
    metadata: Metadata | None,
) -> SampleResults:
    """Run every artifact whose runtime is installed; at least one must be."""
    made = metadata.inputs[0].preprocessing if metadata else None
    samples, missing = None, {}
    scores: dict[str, dict[str, np.ndarray]] = {}
    labels = metadata.labels if metadata else {}
    for entry in report["artifacts"]:
        name = artifact_name(entry)
        try:
            artifact = load_artifact(folder / entry["path"])
        except RuntimeMissingError as error:
            missing[name] = str(error)
            continue
        if samples is None:
            first = made or PRESETS["none"]
            samples = load_samples(source, artifact.inputs, first)
            if labels:
                samples = with_labels(samples, next(iter(labels.values())))
        for output, values in _scores(artifact, samples, labels):
            scores.setdefault(output, {})[name] = values
    if samples is None:
        raise RuntimeMissingError("; ".join(missing.values()))
    return SampleResults(samples, scores, missing, made)


def _scores(
    artifact: Artifact, samples: Samples, labelled: Collection[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the outputs that are scores of classes, for each sample."""
    for name, values in run(artifact, samples.inputs).items():
        labels = samples.labels
        if metrics.has_scores(values) and (
            name in labelled
            or metrics.has_probabilities(values)
            or (labels is not None and metrics.fits_labels(values, labels))
        ):
            yield name, values


def _pixels(array: np.ndarray, made: Preprocessing | None) -> np.ndarray | None:
    """Return an input as pixels to look at; None if it is no image."""
    if array.ndim != 3:
        return None
    first = made is not None and made.data_format == "channels_first"
    if first or (array.shape[-1] not in (1, 3) and array.shape[0] in (1, 3)):
        array = np.moveaxis(array, 0, -1)
    if array.shape[-1] not in (1, 3):
        return None
    values = array.astype("float64")
    if made is not None:
        values = (values * made.std + made.mean) / made.scale
        if made.color == "bgr":
            values = values[..., ::-1]
    elif array.dtype.kind == "f":
        low, high = values.min(), values.max()
        values = 255 * (values - low) / (high - low or 1)
    pixels = np.rint(values).clip(0, 255).astype("uint8")
    return pixels[..., 0] if pixels.shape[-1] == 1 else pixels
