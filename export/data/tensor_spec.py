"""`TensorSpec`, which describes one input or output in every format."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from keras_inception_export.errors import RequestError


@dataclass(frozen=True)
class TensorSpec:
    """Name, shape and dtype of one input or output.

    Args:
        shape: sizes of its axes; an unknown size is `None`.
        dtype: its NumPy dtype.
        scale: the step of a quantized tensor, whose real values are
            `scale * (integer - zero_point)`; `None`: it is not quantized.
        zero_point: the integer that represents 0.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0

    def as_json(self) -> dict:
        """Return the spec as a dictionary, as reports contain it."""
        facts = asdict(self) | {"shape": list(self.shape)}
        if self.scale is None:
            del facts["scale"], facts["zero_point"]
        return facts

    @classmethod
    def from_json(cls, facts: Mapping) -> "TensorSpec":
        """Return the spec from a dictionary that `as_json` returned."""
        return cls(**{**facts, "shape": tuple(facts["shape"])})

    def check(self) -> "TensorSpec":
        """Return the spec, which a file from outside has declared.

        Raises:
            ValueError: if no array of numbers can be so.
        """
        dtype = np.dtype(self.dtype)
        if dtype.kind not in "biuf" or dtype.name != self.dtype:
            raise ValueError(f'"{self.name}" has {self.dtype}, not numbers')
        if not all(n is None or type(n) is int and n >= 0 for n in self.shape):
            raise ValueError(f'"{self.name}" has the shape {self.shape}')
        if self.scale is not None:
            limits = np.iinfo(dtype)
            if not (
                type(self.scale) is float
                and 0 < self.scale <= np.finfo("float32").max
                and type(self.zero_point) is int
                and limits.min <= self.zero_point <= limits.max
            ):
                raise ValueError(
                    f'"{self.name}" is quantized with the scale {self.scale} '
                    f"and the zero point {self.zero_point}"
                )
        return self

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether an array of this shape is such a tensor."""
        return len(shape) == len(self.shape) and all(
            expected in (None, size)
            for expected, size in zip(self.shape, shape, strict=True)
        )

    @property
    def column_axes(self) -> list[int]:
        """The axes whose indices are columns: the last, others of fixed size.

        A column is what errors are relative to: boxes and scores may be joined
        along any axis.
        """
        middle = enumerate(self.shape[1:-1], start=1)
        return [-1, *(axis for axis, size in middle if size)]

    @property
    def takes_reals(self) -> bool:
        """Whether it represents real values, as floats or quantized."""
        return self.dtype.startswith("float") or self.scale is not None

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Return real values as the tensor stores them."""
        if self.scale is None:
            return values
        limits = np.iinfo(self.dtype)
        steps = np.rint(values / self.scale) + self.zero_point
        return steps.clip(limits.min, limits.max).astype(self.dtype)

    def dequantize(self, values: np.ndarray) -> np.ndarray:
        """Return the real values, in float32, that the tensor represents."""
        if self.scale is None:
            return values
        steps = values.astype("float32") - np.float32(self.zero_point)
        return steps * np.float32(self.scale)


def quantized_feed(
    specs: tuple[TensorSpec, ...], feed: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return real values as the inputs of an artifact take them."""
    return {spec.name: spec.quantize(feed[spec.name]) for spec in specs}


def check_feeds(
    specs: tuple[TensorSpec, ...], feeds: Mapping[str, np.ndarray]
) -> None:
    """Raise RequestError unless arrays fit the inputs in all respects."""
    expected = [spec.name for spec in specs]
    if set(feeds) != set(expected):
        raise RequestError(
            f"received the inputs {sorted(feeds)}, expected {expected}"
        )
    for spec in specs:
        array = feeds[spec.name]
        if not spec.fits(array.shape) or array.dtype != np.dtype(spec.dtype):
            raise RequestError(
                f"input '{spec.name}' received {array.dtype} {array.shape}, "
                f"expected {spec.dtype} {spec.shape}"
            )
