"""What goes in and what comes out: the contract every format shares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from keras_inception_export.errors import RequestError


@dataclass(frozen=True)
class TensorSpec:
    """One named input or output; an unknown axis of `shape` is None.

    A quantized tensor stands for the real values
    `scale * (integer - zero_point)`.

    Args:
        name: name of the tensor.
        shape: sizes of its axes.
        dtype: its numpy dtype.
        scale: the step of a quantized tensor; `None` if it is not quantized.
        zero_point: the integer that stands for 0.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0

    def as_json(self) -> dict:
        """Return the spec as the plain dictionary that reports hold."""
        facts: dict = {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
        }
        if self.scale is not None:
            facts |= {"scale": self.scale, "zero_point": self.zero_point}
        return facts

    @classmethod
    def from_json(cls, facts: Mapping) -> "TensorSpec":
        """Return the spec that `as_json` turned into a dictionary."""
        return cls(**{**facts, "shape": tuple(facts["shape"])})

    @property
    def takes_reals(self) -> bool:
        """Whether it stands for real values, in floats or in integers."""
        return self.dtype.startswith("float") or self.scale is not None

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Return real values as the tensor holds them."""
        if self.scale is None:
            return values
        limits = np.iinfo(self.dtype)
        steps = np.rint(values / self.scale) + self.zero_point
        return steps.clip(limits.min, limits.max).astype(self.dtype)

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """Return the real values, in float32, that the tensor stands for."""
        if self.scale is None:
            return values
        steps = values.astype("float32") - np.float32(self.zero_point)
        return steps * np.float32(self.scale)


class Runner(Protocol):
    """An artifact opened by its own runtime.

    `inputs` and `outputs` are in the declared order of the Keras model.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute every output from arrays keyed by input name."""


def quantized_feed(
    specs: tuple[TensorSpec, ...], feed: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return real inputs as an artifact with these inputs takes them."""
    return {spec.name: spec.quantize(feed[spec.name]) for spec in specs}


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
