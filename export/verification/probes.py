"""The inputs on which an artifact is proven, and what they must give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.npz import UNREADABLE, read_arrays
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError, writing

BATCH_SIZES = (1, 3, 7)
"""Samples in each batch of probes, where the batch size is free."""

IMAGE_SIZES = (64, 96, 96)
OTHER_SIZES = (8, 12, 12)
"""Sizes of an unknown axis in each batch: of an image, and of anything else.
The last two are equal, so that samples can be compared."""

LAYER_REFERENCE_INPUTS = 2**16
"""About so many input values suffice for the layer references: one image of 224 x
224, or all the probes of 32 x 32, whose last layers have few places each."""


@dataclass(frozen=True)
class Probes:
    """Inputs, the float64 reference outputs, and float32's own error.

    Args:
        feeds: a few batches, each an array an input name.
        reference: for each batch, the float64 output an output name.
        keras_error: for each output name, the largest error that Keras makes
            in float32, relative to the largest reference output.
    """

    feeds: tuple[Mapping[str, np.ndarray], ...]
    reference: tuple[Mapping[str, np.ndarray], ...]
    keras_error: Mapping[str, float]

    def singles(self):
        """Return the inputs of the layer references, one sample a batch.

        Where the batch size is fixed, they are whole batches. All have one
        shape, and there are the more of them the smaller they are.
        """

        def shapes(feed):
            return [array.shape[1:] for array in feed.values()]

        feeds = [f for f in self.feeds if shapes(f) == shapes(self.feeds[-1])]
        if not self.fixed_batch:
            feeds = [
                {name: array[row : row + 1] for name, array in feed.items()}
                for feed in feeds
                for row in range(_count(feed))
            ]
        size = sum(array.size for array in feeds[-1].values())
        return feeds[-max(1, LAYER_REFERENCE_INPUTS // size) :]

    def together(self):
        """Return the same as one batch, where the batch size is free."""
        feeds = self.singles()
        if self.fixed_batch:
            return feeds
        names = feeds[0]
        return [{n: np.concatenate([f[n] for f in feeds]) for n in names}]

    @property
    def fixed_batch(self):
        """The samples of each batch if all have as many, else None."""
        counts = {_count(feed) for feed in self.feeds}
        return counts.pop() if len(counts) == 1 else None

    def save(self, path):
        """Write everything into one `.npz` file.

        Raises:
            RequestError: if it cannot be written.
        """
        arrays: dict[str, Any] = {
            f"{kind}/{index}/{name}": array
            for kind, batches in (
                ("input", self.feeds),
                ("reference", self.reference),
            )
            for index, batch in enumerate(batches)
            for name, array in batch.items()
        }
        for name, error in self.keras_error.items():
            arrays[f"keras_error/{name}"] = np.float64(error)
        with writing(path):
            np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote.

        Raises:
            ArtifactError: if the file is damaged.
        """
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
                f"{Path(path).name} is damaged and proves nothing ({error}); "
                "export the model again"
            ) from error
        return cls(tuple(batches["input"]), tuple(batches["reference"]), errors)


def _count(feed):
    """Return the number of samples in a batch."""
    return len(next(iter(feed.values())))


def random_feeds(
    specs: Sequence[TensorSpec],
    limits: tuple[float, float],
    vocabulary: int,
) -> list[dict[str, np.ndarray]]:
    """Draw seeded batches that fit a model's inputs.

    Args:
        specs: the inputs.
        limits: the smallest and the largest floating-point value.
        vocabulary: integers are drawn below it; those of uint8 below 256.
    """
    generator = np.random.default_rng(0)
    low, high = limits

    def random(spec, shape):
        if spec.dtype == "bool":
            return generator.random(shape) < 0.5
        if not spec.dtype.startswith("float"):
            limit = 256 if spec.dtype == "uint8" else vocabulary
            return generator.integers(0, limit, shape).astype(spec.dtype)
        # Each sample has a brightness and a contrast of its own: the mean of
        # plain noise is the same in all, and pooled outputs hardly move.
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
    """Cut samples into batches, starting again when they run out.

    Args:
        specs: the inputs.
        samples: one array per input name.
    """
    number = len(next(iter(samples.values())))
    sizes = _batch_sizes(specs)
    ends = np.cumsum(sizes)
    return [
        {
            name: array[np.arange(end - size, end) % number]
            for name, array in samples.items()
        }
        for size, end in zip(sizes, ends, strict=True)
    ]


def _batch_sizes(specs):
    fixed = specs[0].shape[0]
    return BATCH_SIZES if fixed is None else (fixed,) * len(BATCH_SIZES)
