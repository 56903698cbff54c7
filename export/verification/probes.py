"""The inputs on which an artifact is verified, and the expected outputs.

`random_feeds` and `sample_feeds` make the inputs. `Probes` holds them with the
reference, and saves both to a file. This module needs numpy only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.npz import UNREADABLE, read_arrays
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError, writing

BATCH_SIZES = (1, 3, 7)
"""Samples per batch of probes, where the batch size is not fixed."""

IMAGE_SIZES = (64, 96, 96)
OTHER_SIZES = (8, 12, 12)
"""The size of an unknown axis in each batch, for images and for other inputs.
The last two are equal, so that the samples of both can be compared."""

LAYER_REFERENCE_INPUTS = 2**16
"""The approximate number of input values for the layer references: one image
of 224 x 224, or all probes of 32 x 32, whose last layers have few positions."""


@dataclass(frozen=True)
class Probes:
    """Inputs, the float64 reference outputs, and the error of float32.

    Args:
        feeds: a few batches, each with one array per input name.
        reference: for each batch, one float64 array per output name.
        keras_error: for each output name, the largest error of Keras in
            float32, relative to the largest reference value.
    """

    feeds: tuple[Mapping[str, np.ndarray], ...]
    reference: tuple[Mapping[str, np.ndarray], ...]
    keras_error: Mapping[str, float]

    def singles(self) -> list[Mapping[str, np.ndarray]]:
        """Return the inputs of the layer references, one sample per batch.

        Where the batch size is fixed, they are whole batches. All have the
        same shape, and the smaller they are, the more of them there are.
        """

        def shapes(feed):
            return [array.shape[1:] for array in feed.values()]

        feeds: list[Mapping[str, np.ndarray]] = [
            feed
            for feed in self.feeds
            if shapes(feed) == shapes(self.feeds[-1])
        ]
        if not self.fixed_batch:
            feeds = [
                {name: array[row : row + 1] for name, array in feed.items()}
                for feed in feeds
                for row in range(_count(feed))
            ]
        size = sum(array.size for array in feeds[-1].values())
        return feeds[-max(1, LAYER_REFERENCE_INPUTS // size) :]

    def together(self) -> list[Mapping[str, np.ndarray]]:
        """Return the inputs of `singles`, in one batch if it is not fixed."""
        feeds = self.singles()
        if self.fixed_batch:
            return feeds
        parts = {name: [feed[name] for feed in feeds] for name in feeds[0]}
        return [{name: np.concatenate(x) for name, x in parts.items()}]

    @property
    def fixed_batch(self) -> int | None:
        """The number of samples per batch; None if the batches differ."""
        counts = {_count(feed) for feed in self.feeds}
        return counts.pop() if len(counts) == 1 else None

    def save(self, path: str | Path) -> None:
        """Write everything into one `.npz` file."""
        parts = (("input", self.feeds), ("reference", self.reference))
        arrays: dict[str, Any] = {
            f"{kind}/{index}/{name}": array
            for kind, batches in parts
            for index, batch in enumerate(batches)
            for name, array in batch.items()
        }
        for name, error in self.keras_error.items():
            arrays[f"keras_error/{name}"] = np.float64(error)
        with writing(path):
            np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> "Probes":
        """Read what `save` wrote; ArtifactError if the file is damaged."""
        try:
            arrays = read_arrays(path)
            batches: dict[str, list[dict]] = {"input": [], "reference": []}
            errors = {}
            for key, array in arrays.items():
                kind, _, rest = key.partition("/")
                if kind == "keras_error":
                    errors[rest] = float(array)
                    continue
                index, _, name = rest.partition("/")
                if int(index) == len(batches[kind]):
                    batches[kind].append({})
                batches[kind][int(index)][name] = array
        except (*UNREADABLE, KeyError, IndexError) as error:
            raise ArtifactError(
                f"{Path(path).name} is damaged ({error}), so nothing can be "
                "verified; export the model again"
            ) from error
        return cls(tuple(batches["input"]), tuple(batches["reference"]), errors)


def _count(feed) -> int:
    """Return the number of samples in a batch."""
    return len(next(iter(feed.values())))


def random_feeds(
    specs: Sequence[TensorSpec], limits: tuple[float, float], vocabulary: int
) -> list[dict[str, np.ndarray]]:
    """Return random batches for a model's inputs, the same each time."""
    generator = np.random.default_rng(0)
    low, high = limits

    def random(spec, shape):
        if spec.dtype == "bool":
            return generator.random(shape) < 0.5
        if not spec.dtype.startswith("float"):
            limit = 256 if spec.dtype == "uint8" else vocabulary
            return generator.integers(0, limit, shape).astype(spec.dtype)
        # Each sample has its own brightness and contrast. The mean of plain
        # noise is the same in all samples, so pooled outputs hardly change.
        ends = generator.random((2, shape[0], *(1,) * (len(shape) - 1)))
        values = ends[0] + (ends[1] - ends[0]) * generator.random(shape)
        return (low + (high - low) * values).astype(spec.dtype)

    feeds = []
    for index, size in enumerate(_batch_sizes(specs)):
        feed = {}
        for spec in specs:
            sizes = IMAGE_SIZES if len(spec.shape) == 4 else OTHER_SIZES
            shape = (size, *(n or sizes[index] for n in spec.shape[1:]))
            feed[spec.name] = random(spec, shape)
        feeds.append(feed)
    return feeds


def sample_feeds(
    specs: Sequence[TensorSpec], samples: Mapping[str, np.ndarray]
) -> list[dict[str, np.ndarray]]:
    """Return batches of samples, repeating the samples where necessary."""
    number = _count(samples)
    sizes = _batch_sizes(specs)
    ends = np.cumsum(sizes)
    return [
        {
            name: array[np.arange(end - size, end) % number]
            for name, array in samples.items()
        }
        for size, end in zip(sizes, ends, strict=True)
    ]


def _batch_sizes(specs: Sequence[TensorSpec]) -> tuple[int, ...]:
    """Return the number of samples of each batch of probes."""
    fixed = specs[0].shape[0]
    return BATCH_SIZES if fixed is None else (fixed,) * len(BATCH_SIZES)
