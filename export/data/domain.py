"""`Domain`, the values that one input of a model takes in use."""

from dataclasses import dataclass, field, replace

import numpy as np

MASKED = 0.25
"""The part of the steps that are padding, where a layer masks such steps."""


@dataclass(frozen=True)
class Domain:
    """The values that one input takes in use.

    Each of them is a scalar, or has one value per index of the last axis.

    Args:
        low: the smallest value.
        high: the largest value.
        integers: whether the values are whole numbers.
        bounded: whether the model accepts no others, as an embedding.
        levels: the values to choose from, along the first axis, where most
            between `low` and `high` are the same to the model, as most
            integers to a vocabulary; `None`: all between them.
        padding: the value of masked steps; `None`: no step is masked.
        first: the value of the first step, which a mask must not hide: where
            attention sees padding alone, it adds -1e9 to every score, which
            leaves no digit of them in float32. `None`: as of any other.
        assumed: whether nothing that the model computes says so.
    """

    low: np.ndarray = field(default_factory=lambda: np.array(0.0))
    high: np.ndarray = field(default_factory=lambda: np.array(1.0))
    integers: np.ndarray | bool = False
    bounded: np.ndarray | bool = False
    levels: np.ndarray | None = None
    padding: float | None = None
    first: float | None = None
    assumed: bool = False

    @property
    def reach(self) -> np.ndarray:
        """The largest magnitude."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def like(self, samples: np.ndarray) -> "Domain":
        """Return a domain with the range of samples, unless it is bounded."""
        if np.all(self.bounded) or not samples.size:
            return self
        columns = np.broadcast_shapes(np.shape(self.low), np.shape(self.high))
        rows = samples.reshape(-1, *columns).astype("float64")
        low = np.where(self.bounded, self.low, rows.min(axis=0))
        high = np.where(self.bounded, self.high, rows.max(axis=0))
        return replace(self, low=low, high=high, levels=None)

    def draw(
        self, generator: np.random.Generator, shape: tuple[int, ...]
    ) -> np.ndarray:
        """Return random values.

        Each sample has its own brightness and contrast. The mean of plain
        noise is the same in all samples, so pooled outputs hardly change.
        """
        values = generator.random(shape)
        whole = np.floor(self.low + (self.high + 1 - self.low) * values)
        ends = generator.random((2, shape[0], *(1,) * (len(shape) - 1)))
        values = ends[0] + (ends[1] - ends[0]) * values
        values = self.low + (self.high - self.low) * values
        values = np.where(self.integers, whole, values)
        if self.levels is not None:
            rows = generator.integers(len(self.levels), size=shape)
            levels = self.levels.reshape(len(self.levels), -1)
            values = levels[rows, np.arange(levels.shape[1])]
        if self.padding is not None and len(shape) > 1:
            # Only the last steps, so that no sample is nothing but padding.
            kept = generator.uniform(1 - 2 * MASKED, 1, (shape[0], 1))
            is_padding = np.arange(shape[1]) > kept * shape[1]
            is_padding = is_padding.reshape(
                *shape[:2], *(1,) * (len(shape) - 2)
            )
            values = np.where(is_padding, self.padding, values)
        if self.first is not None and len(shape) > 1:
            values[:, 0] = self.first
        return values

    def fit(
        self, generator: np.random.Generator, values: np.ndarray
    ) -> np.ndarray:
        """Return values that the model accepts: drawn ones where bounded."""
        values = np.where(self.integers, np.rint(values), values)
        if not np.any(self.bounded):
            return values
        return np.where(
            self.bounded, self.draw(generator, values.shape), values
        )


def unlike(found: tuple[float, float], known: tuple[float, float]) -> bool:
    """Return whether values are far outside of a range, or tiny beside it."""
    width = known[1] - known[0]
    far = found[0] < known[0] - width or found[1] > known[1] + width
    return far or 0 < found[1] - found[0] < width / 50
