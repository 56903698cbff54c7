"""What goes in and what comes out: the contract every format shares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """One named input or output; an unknown axis of `shape` is None."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def as_json(self) -> dict:
        """Return the spec as the plain dictionary that reports hold."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
        }


class Runner(Protocol):
    """An artifact opened by its own runtime.

    `inputs` and `outputs` are in the declared order of the Keras model.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output from arrays keyed by input name."""
