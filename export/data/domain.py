"""`Domain`, the values that one input of a model takes in use."""

from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Domain:
    """The values that one input takes in use.

    Args:
        low: the smallest value; a scalar, or one per index of the last axis.
        high: the largest value.
        integers: whether the values are whole numbers.
        bounded: whether the model accepts no others, as an embedding.
    """

    low: np.ndarray = field(default_factory=lambda: np.array(0.0))
    high: np.ndarray = field(default_factory=lambda: np.array(1.0))
    integers: bool = False
    bounded: bool = False

    @property
    def reach(self) -> np.ndarray:
        """The largest magnitude."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    def like(self, samples: np.ndarray) -> "Domain":
        """Return a domain with the range of samples, unless it is bounded."""
        if self.bounded or not samples.size:
            return self
        return replace(self, low=samples.min(), high=samples.max())

    def draw(
        self, generator: np.random.Generator, shape: tuple[int, ...]
    ) -> np.ndarray:
        """Return random values.

        Each sample has its own brightness and contrast. The mean of plain
        noise is the same in all samples, so pooled outputs hardly change.
        """
        values = generator.random(shape)
        if self.integers:
            return np.floor(self.low + (self.high + 1 - self.low) * values)
        ends = generator.random((2, shape[0], *(1,) * (len(shape) - 1)))
        values = ends[0] + (ends[1] - ends[0]) * values
        return self.low + (self.high - self.low) * values
