"""What the quantizers of all formats share: joins, rounded kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from keras_inception_export.formats.schemes import PREPARED_SCHEME

if TYPE_CHECKING:  # passes need this module, and must not wait for Keras
    from keras_inception_export.model.inference_model import InferenceModel

PIXELS = 0.0, 255.0
"""The range of an input that takes pixels: in uint8, its scale is 1."""

LARGEST = 127
"""The integer that represents the largest weight of a filter."""

DRIFT = 8
"""The largest distance between a weight and its rounded value, in steps. A
larger one shows that the integers belong to another kernel."""


MAX_RATIO = 16
"""How much larger the range of a scale may be than that of a tensor that has
it. At this ratio, half of the eight bits are left."""

HEADROOM = 1 / 8
"""How much the range of an output is extended, on each side where it is not 0,
relative to its width: new samples exceed the extremes of those that calibrate,
and are cut off there."""

_Join = TypeVar("_Join", bound=Hashable)
_Value = TypeVar("_Value", bound=Hashable)
_Kind = TypeVar("_Kind", bound=Hashable)


class Quantizer(ABC):
    """Writes quantized artifacts of one inference model.

    Args:
        inference_model: the model. It must not change any more.
        folder: a folder for temporary files. The caller removes it.
        opset: the version of the ONNX operators, if the format has them.
            Defaults to `18`.
        calibration: the samples on which int8 measures ranges, one array per
            input name. Defaults to none: int8 cannot be written.
        kernels: the integers that int8 rounds kernels to, keyed by the path
            of the Keras variable, with its order of axes. Kernels that are
            missing are rounded to the nearest integers. Defaults to none.
    """

    def __init__(
        self,
        inference_model: InferenceModel,
        folder: Path,
        *,
        opset: int = 18,
        calibration: Mapping[str, np.ndarray] = MappingProxyType({}),
        kernels: Mapping[str, np.ndarray] = MappingProxyType({}),
    ) -> None:
        self._source = inference_model
        self._folder = folder
        self._opset = opset
        self._calibration = calibration
        self._kernels = kernels

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """Keras paths of the layers that int8 applies to, in network order."""

    @abstractmethod
    def float_layers(self, path: Path) -> tuple[str, ...]:
        """Return the layers of an artifact that the runtime computes in float.

        Raises:
            ArtifactError: if the file is missing or damaged.
        """

    @abstractmethod
    def _write_int8(
        self, path: Path, float_layers: Collection[str], io: str | None
    ) -> None:
        """Write an artifact that is calibrated on samples."""

    @abstractmethod
    def _write_weights(self, path: Path, scheme: str) -> None:
        """Write an artifact in which only the weights are quantized."""

    def write(
        self,
        path: Path,
        scheme: str,
        *,
        float_layers: Collection[str] = (),
        io: str | None = None,
    ) -> None:
        """Write an artifact at `path`.

        Args:
            path: the file to write.
            scheme: `"float16"`, `"dynamic"` or `"int8"`.
            float_layers: the `layers` that int8 leaves in float.
            io: `"int8"` or `"uint8"`, the dtype of the inputs and outputs in
                int8. Defaults to `None`: they stay float32.
        """
        if scheme == PREPARED_SCHEME:
            self._write_int8(path, float_layers, io)
        else:
            self._write_weights(path, scheme)

    def _calibration_arrays(self) -> dict[str, np.ndarray]:
        """Return the calibration arrays in the order of the inputs."""
        return {
            spec.name: np.asarray(self._calibration[spec.name], spec.dtype)
            for spec in self._source.inputs
        }


def with_headroom(low: float, high: float) -> tuple[float, float]:
    """Return the range of an output that is not bounded by definition."""
    more = HEADROOM * (max(high, 0) - min(low, 0))
    return low - more * (low < 0), high + more * (high > 0)


def uneven_joins(
    joins: Iterable[tuple[_Join, Iterable[_Value], Iterable[_Value]]],
    ranges: Mapping[_Value, Sequence[float]],
) -> tuple[set[_Join], set[_Value]]:
    """Return the operators that would give one scale to uneven ranges.

    Args:
        joins: the operators whose inputs and outputs get one scale, in
            execution order: what identifies each, its inputs and its outputs.
        ranges: the smallest and the largest value of each float value. One
            that is always zero joins any other.

    Returns:
        These operators, and the values that need more than one scale: the
        results of those that join several values, and what is joined with
        them.
    """
    groups: dict[_Value, frozenset[_Value]] = {}
    uneven: set[_Join] = set()
    mixed: set[_Value] = set()
    for join, inputs, outputs in joins:
        reads = [value for value in inputs if value in ranges]
        own = (groups.get(x, frozenset([x])) for x in (*reads, *outputs))
        group = frozenset().union(*own)
        limits = [ranges[value] for value in group if value in ranges]
        widths = [max(high, 0) - min(low, 0) for low, high in limits]
        widths = [width for width in widths if width > 0] or [0]
        if max(widths) <= MAX_RATIO * min(widths) and mixed.isdisjoint(reads):
            groups.update(dict.fromkeys(group, group))
            continue
        uneven.add(join)
        if len(reads) > 1 or not mixed.isdisjoint(reads):
            mixed.update(outputs)
    return uneven, mixed


def nearest(
    steps: Iterable[tuple[_Join, Iterable[_Value], Iterable[_Value]]],
    kinds: Mapping[_Join, _Kind],
) -> dict[_Value, frozenset[_Kind]]:
    """Return the kinds of the operators that are nearest to each value.

    Args:
        steps: what identifies each operator, and the values on its near and
            its far side: in execution order its inputs and its outputs, or
            in reverse order its outputs and its inputs.
        kinds: how operators compute. What passes through the others counts.
    """
    found: dict[_Value, frozenset[_Kind]] = defaultdict(frozenset)
    for step, near, far in steps:
        reached = (found[value] for value in near)
        kind = kinds.get(step)
        passed = frozenset().union(*reached) if kind is None else {kind}
        for value in far:
            found[value] |= passed
    return found


def largest_weight(
    kernel: np.ndarray, axes: tuple[int, ...] | None = None
) -> np.ndarray:
    """Return the largest magnitude along axes, without copying the kernel."""
    return np.maximum(
        kernel.max(axes, keepdims=True), -kernel.min(axes, keepdims=True)
    )


def kernel_scale(kernel: np.ndarray, axis: int) -> np.ndarray:
    """Return the scale of each filter, along an axis, as quantizers compute it.

    The other axes have length 1 in the result.
    """
    others = tuple(x for x in range(kernel.ndim) if x != axis % kernel.ndim)
    largest = largest_weight(kernel, others)
    return np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1))


def rounded_kernel(
    kernel: np.ndarray, integers: np.ndarray, axis: int
) -> np.ndarray:
    """Return the float kernel that a quantizer turns into these integers.

    It is `kernel` itself if the integers belong to another kernel.
    """
    scale = kernel_scale(kernel, axis)
    if (
        integers.shape != kernel.shape
        or np.abs(np.rint(kernel / scale) - integers).max() > DRIFT
    ):
        return kernel
    return integers * scale
