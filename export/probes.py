"""The inputs on which an artifact is proven, and what they must give."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.arrays import UNREADABLE, read_arrays
from keras_inception_export.errors import ArtifactError, writing

BATCH_SIZES = (1, 3, 7)
"""Samples in each batch of probes, where the batch size is free."""

LANDMARK_INPUTS = 2**16
"""About so many input values suffice for the landmarks: one image of 224 x
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
        """Return the inputs of the landmarks, one sample a batch.

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
        return feeds[-max(1, LANDMARK_INPUTS // size) :]

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
