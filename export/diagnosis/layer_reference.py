"""Expected values of each layer's output, computed in float64.

An artifact whose outputs are wrong is wrong from some layer on. A bundle
contains the layer references of its model, so that `diagnose` can name that
layer on a device without Keras. This module needs numpy only.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from keras_inception_export.bundle.schema import Count, Exact, Figure, Size
from keras_inception_export.data.npz import read_arrays
from keras_inception_export.data.reading import reading
from keras_inception_export.errors import writing

VALUES = 1024
"""Number of sampled values per layer; more only if it has more channels."""

Feeds = Sequence[Mapping[str, np.ndarray]]
"""Batches of inputs, each with one array per input name."""


@dataclass(frozen=True)
class LayerReference:
    """A layer's output on the probes, reduced to a few numbers.

    These are sampled values, which show how large an error is, and the mean
    of each channel, which changes with any error in that channel.

    Args:
        layer: the Keras path of the layer; from the second call of a shared
            layer on, `#` and the number of the call follow it.
        output: the name of the model output that it computes, if any.
        source: the index of the first layer reference that the layer reads;
            None if it reads none.
        shape: the shape of its output in Keras, for all samples together.
        channel_axis: the axis of the channels.
        positions: sorted indices into the flattened output, some per channel.
        values: the float64 values there, then the mean of each channel.
        scale: the largest absolute value of the output; 1 if it is 0.
        keras_error: the largest error of Keras in float32, relative to
            `scale`.
        other_sources: the indices of the other layer references that it
            reads. Defaults to `()`.
    """

    layer: str
    output: str
    source: int | None
    shape: tuple[int, ...]
    channel_axis: int
    positions: np.ndarray
    values: np.ndarray
    scale: float = 1.0
    keras_error: float = 0.0
    other_sources: tuple[int, ...] = ()

    @property
    def sources(self) -> tuple[int, ...]:
        """The indices of all layer references that the layer reads."""
        found = self.source, *self.other_sources
        return tuple(source for source in found if source is not None)

    def reduce(
        self, batch: np.ndarray, start: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what `to_values` needs of the samples from `start` on.

        These are the values at the positions, and the sum of each channel.
        """
        batch = batch.reshape(-1, *self.shape[1:]).astype("float64")
        positions = self.positions - start * math.prod(self.shape[1:])
        inside = positions[(positions >= 0) & (positions < batch.size)]
        axes = tuple(i for i in range(batch.ndim) if i != self.channel_axis)
        return batch.ravel()[inside], batch.sum(axes)

    def to_values(
        self, parts: Iterable[tuple[np.ndarray, np.ndarray]]
    ) -> np.ndarray:
        """Return an output as `values` has it, from its reduced batches."""
        sampled, sums = zip(*parts, strict=True)
        number = math.prod(self.shape) // self.shape[self.channel_axis]
        return np.concatenate([*sampled, np.sum(sums, axis=0) / number])

    def error(self, values: np.ndarray) -> float:
        """Return the largest error, relative to `scale`."""
        difference = np.abs(values - self.values)
        largest = float(difference.max(initial=0.0)) / self.scale
        return largest if math.isfinite(largest) else math.inf

    def snr(self, values: np.ndarray) -> float:
        """Return the signal-to-noise ratio of the median channel, in dB.

        Over all channels together, one large channel would hide that the
        others consist of noise.
        """
        inner = math.prod(self.shape[self.channel_axis + 1 :])
        channels = self.positions // inner % self.shape[self.channel_axis]
        exact, found = (x[: len(channels)] for x in (self.values, values))
        noise = np.bincount(channels, np.square(found - exact))
        signal = np.bincount(channels, np.square(exact))
        nonzero = signal > 0
        if not nonzero.any() or not np.isfinite(noise).all():
            return -math.inf
        with np.errstate(divide="ignore"):
            ratios = 10 * np.log10(signal[nonzero] / noise[nonzero])
        return float(np.median(ratios))


@dataclass(frozen=True)
class TensorLocation:
    """The tensor of an artifact that is a layer's output.

    Args:
        tensor: the name of the tensor.
        channels_first: whether the channels are its second axis, not the last.
        error: the error at publication, relative to `LayerReference.scale`.
        values: the artifact's values at publication, in the order of
            `LayerReference.values`. Recorded only if it is quantized: it
            differs from the reference by design then.
    """

    tensor: str
    channels_first: bool
    error: float
    values: np.ndarray | None = None


@dataclass(frozen=True)
class LayerReferences:
    """The layer references of a model, and the tensors of each artifact.

    Args:
        layers: in the order in which the layers are computed.
        artifacts: for each artifact, by its path in the bundle, the location
            of each layer's output; None where the artifact does not hold it.
        equalized: the same layers in the model whose channels were equalized
            before int8; empty if none was.
    """

    layers: tuple[LayerReference, ...]
    artifacts: Mapping[str, Sequence[TensorLocation | None]] = field(
        default_factory=dict
    )
    equalized: tuple[LayerReference, ...] = ()

    def of(self, artifact: Mapping[str, Any]) -> tuple[LayerReference, ...]:
        """Return the references that an artifact is compared with."""
        if artifact.get("equalized_channels") and self.equalized:
            return self.equalized
        return self.layers

    def save(self, path: Path) -> None:
        """Write everything into one `.npz` file."""
        references = (*self.layers, *self.equalized)
        index = {
            "layers": [
                _entry(item, count=len(item.positions)) for item in references
            ],
            "equalized": len(self.equalized),
            "artifacts": {
                name: [
                    item and _entry(item, has_values=item.values is not None)
                    for item in locations
                ]
                for name, locations in self.artifacts.items()
            },
        }
        arrays: dict[str, Any] = {
            "index": np.frombuffer(json.dumps(index).encode(), np.uint8),
            "positions": _join([r.positions for r in references], np.int64),
            "values": _join([r.values for r in references], np.float64),
        }
        for name, locations in self.artifacts.items():
            values = [item.values for item in locations if item]
            recorded = [array for array in values if array is not None]
            arrays[f"values/{name}"] = _join(recorded, np.float32)
        with writing(path):
            np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "LayerReferences":
        """Read what `save` wrote; ArtifactError if the file is damaged."""
        with reading(path.name, "is damaged", "export the model again"):
            arrays = read_arrays(path)
            text = arrays["index"].tobytes()
            index = _Index.model_validate_json(text)
            counts = [x.count for x in index.layers]
            lengths = [x.count + x.shape[x.channel_axis] for x in index.layers]
            positions = _split(arrays["positions"], counts, "i")
            values = _split(arrays["values"], lengths, "f")
            references = tuple(
                LayerReference(
                    **entry.model_dump(exclude={"count"}),
                    positions=where,
                    values=there,
                )
                for entry, where, there in zip(
                    index.layers, positions, values, strict=True
                )
            )
            for item in references:
                _check(item)
            number = len(references) - index.equalized
            artifacts = {
                name: _locations(
                    items, lengths[:number], arrays[f"values/{name}"]
                )
                for name, items in index.artifacts.items()
            }
            return cls(references[:number], artifacts, references[number:])


class _LayerEntry(Exact):
    """A `LayerReference` without its arrays; `count`: its positions."""

    layer: str
    output: str
    source: Count | None
    other_sources: tuple[Count, ...] = ()
    shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=32)]
    channel_axis: Count
    scale: Annotated[float, Field(gt=0)]
    keras_error: Annotated[float, Field(ge=0, allow_inf_nan=True)]
    count: Size


class _LocationEntry(Exact):
    """A `TensorLocation` without its values."""

    tensor: str
    channels_first: bool
    error: Figure
    has_values: bool


class _Index(Exact):
    """The index of the layer references."""

    layers: list[_LayerEntry]
    equalized: Count
    artifacts: dict[str, list[_LocationEntry | None]]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        number = len(self.layers) - self.equalized
        if self.equalized not in (0, number):
            raise ValueError("there are other equalized layers than layers")
        for index, entry in enumerate(self.layers):
            if entry.channel_axis >= len(entry.shape):
                raise ValueError(f"{entry.layer} has no such channel axis")
            sources = [entry.source, *entry.other_sources]
            if any(x is not None and x >= index % number for x in sources):
                raise ValueError(f"{entry.layer} reads a later layer")
        return self


def _entry(
    item: LayerReference | TensorLocation, **more: Any
) -> dict[str, Any]:
    """Return the fields of an item that are not arrays."""
    arrays = ("positions", "values")
    facts = {key: x for key, x in vars(item).items() if key not in arrays}
    return {**facts, **more}


def _locations(entries, lengths, values) -> tuple[TensorLocation | None, ...]:
    """Return the tensor locations of one artifact."""
    counts = [
        length if entry and entry.has_values else 0
        for entry, length in zip(entries, lengths, strict=True)
    ]
    parts = _split(values, counts, "f")
    return tuple(
        entry
        and TensorLocation(
            **entry.model_dump(exclude={"has_values"}),
            values=part if entry.has_values else None,
        )
        for entry, part in zip(entries, parts, strict=True)
    )


def _join(arrays, dtype) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype), *arrays]).astype(dtype)


def _check(item: LayerReference) -> None:
    """Raise ValueError for positions that the output does not have."""
    steps = np.diff(item.positions, prepend=-1, append=math.prod(item.shape))
    if steps.min() < 1 or not np.isfinite(item.values).all():
        raise ValueError(f"{item.layer} has wrong positions or values")


def _split(array, counts, kind) -> list[np.ndarray]:
    if array.shape != (sum(counts),) or array.dtype.kind != kind:
        raise ValueError(
            f"{array.dtype} {array.shape}, expected {sum(counts)} values"
        )
    return np.split(array, np.cumsum(counts)[:-1]) if counts else []
