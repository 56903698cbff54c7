"""What goes in and what comes out: the contract every format shares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keras_inception_export.errors import RequestError


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


def check_feeds(
    specs: tuple[TensorSpec, ...], feeds: Mapping[str, np.ndarray]
) -> None:
    """Raise RequestError unless names, shapes and dtypes are what specs say."""
    expected = [spec.name for spec in specs]
    if set(feeds) != set(expected):
        raise RequestError(
            f"received the inputs {sorted(feeds)}, expected {expected}"
        )
    for spec in specs:
        array = feeds[spec.name]
        fits = len(array.shape) == len(spec.shape) and all(
            wanted in (None, size)
            for wanted, size in zip(spec.shape, array.shape, strict=True)
        )
        if not fits or array.dtype != np.dtype(spec.dtype):
            raise RequestError(
                f"input '{spec.name}' received {array.dtype} {array.shape}, "
                f"expected {spec.dtype} {spec.shape}"
            )
