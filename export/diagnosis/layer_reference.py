"""What each layer should give: a few values, computed in float64.

An artifact whose outputs are wrong is wrong from some layer on. The layer references
travel with a bundle, so that a device without Keras can tell from which. They
need numpy alone.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from keras_inception_export.data.npz import UNREADABLE, read_arrays
from keras_inception_export.errors import ArtifactError, writing

VALUES = 1024
"""Single values kept of a layer; more only where it has more channels."""


@dataclass(frozen=True)
class LayerReference:
    """A layer's output on the probes, in a few numbers.

    Single values, which say how large an error is, and the mean of each
    channel, which any error in that channel moves.

    Args:
        layer: the Keras path of the layer; `#2` follows it the second time
            the layer is called.
        output: the model's output that this is; empty for any other layer.
        source: the number of the layer reference that the layer reads; None if it
            is none, as behind a join.
        weighted: whether the layer has weights.
        shape: shape of the layer's output in Keras, all samples together.
        channel_axis: the axis of the channels.
        positions: places in the flattened output, sorted; some in every
            channel.
        values: float64: the values there, then the mean of each channel.
        scale: the largest value of the whole output; 1 if all are 0.
        keras_error: the largest error that Keras makes in float32, relative
            to the largest value.
    """

    layer: str
    output: str
    source: int | None
    weighted: bool
    shape: tuple[int, ...]
    channel_axis: int
    positions: np.ndarray
    values: np.ndarray
    scale: float = 1.0
    keras_error: float = 0.0

    def within(self, start: int, count: int) -> np.ndarray:
        """Return the positions in `count` samples, counted from the first."""
        size = math.prod(self.shape[1:])
        after = self.positions - start * size
        return after[(after >= 0) & (after < count * size)]

    def joined(
        self, singles: Sequence[np.ndarray], sums: Sequence[np.ndarray]
    ) -> np.ndarray:
        """Return what stands in `values`, of an output read in parts.

        Args:
            singles: for each part, the values at the positions within it.
            sums: for each part, the sum of each channel.
        """
        number = math.prod(self.shape) // self.shape[self.channel_axis]
        return np.concatenate([*singles, np.sum(sums, axis=0) / number])

    def error(self, values: np.ndarray) -> float:
        """Return the largest error, relative to the largest value."""
        difference = np.abs(values - self.values)
        worst = float(difference.max(initial=0.0)) / self.scale
        return worst if math.isfinite(worst) else math.inf

    def snr(self, values: np.ndarray) -> float:
        """Return the signal to noise of the median channel, in dB.

        Of all channels together, one large channel would hide that the
        others have drowned.
        """
        inner = math.prod(self.shape[self.channel_axis + 1 :])
        channels = self.positions // inner % self.shape[self.channel_axis]
        exact = self.values[: len(channels)]
        found = values[: len(channels)]
        noise = np.bincount(channels, np.square(found - exact))
        signal = np.bincount(channels, np.square(exact))
        alive = signal > 0
        if not alive.any() or not np.isfinite(noise).all():
            return -math.inf
        with np.errstate(divide="ignore"):
            ratios = 10 * np.log10(signal[alive] / noise[alive])
        return float(np.median(ratios))


class Reading:
    """The values that an output has at a layer reference, taken part by part.

    Args:
        mark: the layer reference.
    """

    def __init__(self, mark: LayerReference) -> None:
        self._mark = mark
        self._samples = 0
        self._singles: list[np.ndarray] = []
        self._sums: list[np.ndarray] = []

    def add(self, part: np.ndarray) -> None:
        """Read the next samples, in Keras's order of axes."""
        mark = self._mark
        part = part.reshape(-1, *mark.shape[1:]).astype("float64")
        axes = [i for i in range(part.ndim) if i != mark.channel_axis]
        here = mark.within(self._samples, len(part))
        self._singles.append(part.ravel()[here])
        self._sums.append(part.sum(tuple(axes)))
        self._samples += len(part)

    @property
    def complete(self) -> bool:
        """Whether all samples were read."""
        return self._samples == self._mark.shape[0]

    @property
    def values(self) -> np.ndarray:
        """As `LayerReference.values` has them."""
        return self._mark.joined(self._singles, self._sums)


@dataclass(frozen=True)
class Place:
    """Where an artifact holds a layer's output.

    Args:
        tensor: the tensor's name in the artifact.
        channels_first: whether it has the channels as its second axis where
            Keras has them last.
        error: the error when the bundle was published, relative to the
            largest value.
        values: what the artifact gave then; kept where the artifact is
            quantized, and differs from the layer reference by design.
    """

    tensor: str
    channels_first: bool
    error: float
    values: np.ndarray | None = None


@dataclass(frozen=True)
class LayerReferences:
    """The layer references of a model, and where each artifact has them.

    Args:
        layers: in the order in which the layers are computed.
        artifacts: for each artifact, by its path in the bundle, a `Place` a
            layer; None where the artifact does not hold that layer's output.
    """

    layers: tuple[LayerReference, ...]
    artifacts: Mapping[str, Sequence[Place | None]] = field(
        default_factory=dict
    )

    def with_artifact(
        self, path: str, places: Sequence[Place | None]
    ) -> "LayerReferences":
        """Return layer references that know one more artifact."""
        return replace(self, artifacts={**self.artifacts, path: places})

    def save(self, path: Path) -> None:
        """Write everything into one `.npz` file.

        Raises:
            RequestError: if it cannot be written.
        """
        index = {
            "layers": [
                {
                    "layer": mark.layer,
                    "output": mark.output,
                    "source": mark.source,
                    "weighted": mark.weighted,
                    "shape": mark.shape,
                    "channel_axis": mark.channel_axis,
                    "scale": mark.scale,
                    "keras_error": mark.keras_error,
                    "count": len(mark.positions),
                }
                for mark in self.layers
            ],
            "artifacts": {
                name: [place and _facts(place) for place in places]
                for name, places in self.artifacts.items()
            },
        }
        arrays = {
            "index": np.frombuffer(json.dumps(index).encode(), np.uint8),
            "positions": _join([m.positions for m in self.layers], np.int64),
            "values": _join([m.values for m in self.layers], np.float64),
        }
        for name, places in self.artifacts.items():
            kept = [p.values for p in places if p and p.values is not None]
            arrays[f"values/{name}"] = _join(kept, np.float32)
        with writing(path):
            np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "LayerReferences":
        """Read what `save` wrote.

        Raises:
            ArtifactError: if the file is damaged.
        """
        try:
            arrays = read_arrays(path)
            index = json.loads(arrays["index"].tobytes())
            counts = [facts.pop("count") for facts in index["layers"]]
            lengths = [
                count + facts["shape"][facts["channel_axis"]]
                for count, facts in zip(counts, index["layers"], strict=True)
            ]
            layers = tuple(
                LayerReference(
                    **{**facts, "shape": tuple(facts["shape"])},
                    positions=positions,
                    values=values,
                )
                for facts, positions, values in zip(
                    index["layers"],
                    _split(arrays["positions"], counts),
                    _split(arrays["values"], lengths),
                    strict=True,
                )
            )
            artifacts = {
                name: _places(places, lengths, arrays[f"values/{name}"])
                for name, places in index["artifacts"].items()
            }
        except (*UNREADABLE, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{path.name} is damaged ({error}); export the model again"
            ) from error
        return cls(layers, artifacts)


def _facts(place):
    return {
        "tensor": place.tensor,
        "channels_first": place.channels_first,
        "error": place.error,
        "kept": place.values is not None,
    }


def _places(entries, lengths, values):
    """Return the places of one artifact, with the values kept of it."""
    kept = [
        length if facts and facts["kept"] else 0
        for facts, length in zip(entries, lengths, strict=True)
    ]
    return tuple(
        facts
        and Place(
            facts["tensor"],
            facts["channels_first"],
            facts["error"],
            part if facts["kept"] else None,
        )
        for facts, part in zip(entries, _split(values, kept), strict=True)
    )


def _join(arrays, dtype):
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype)


def _split(array, counts):
    if len(array) != sum(counts):
        raise ValueError(f"{len(array)} values, expected {sum(counts)}")
    return np.split(array, np.cumsum(counts)[:-1]) if counts else []
