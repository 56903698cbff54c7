"""What the quantizers of all formats share: checks, joins, rounded kernels."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

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

_Join = TypeVar("_Join", bound=Hashable)
_Value = TypeVar("_Value", bound=Hashable)


def uneven_joins(
    joins: Iterable[tuple[_Join, Iterable[_Value], Iterable[_Value]]],
    ranges: Mapping[_Value, Sequence[float]],
) -> tuple[set[_Join], set[_Value]]:
    """Return the operators that would give one scale to uneven ranges.

    Args:
        joins: the operators whose inputs and outputs get one scale, in
            execution order: what identifies each, its inputs and its outputs.
            What earlier operators joined has one scale already.
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


def check_layers(float_layers: Collection[str], layers: Sequence[str]) -> None:
    """Raise RequestError if a layer to leave in float is unknown."""
    unknown = sorted(set(float_layers) - set(layers))
    if unknown:
        raise RequestError(
            f"received unknown layers to leave in float: {unknown}; choose "
            f"from {list(layers)}"
        )


def calibration_arrays(
    specs: Sequence[TensorSpec], calibration: Mapping[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    """Return the calibration arrays in the order of the inputs.

    Raises:
        RequestError: if there are none, one is missing, or they differ in the
            number of samples.
    """
    if calibration is None:
        raise RequestError(
            "received no calibration samples; int8 measures the ranges of "
            "activations on samples of the model's inputs: pass some"
        )
    names = [spec.name for spec in specs]
    counts = {len(calibration[name]) for name in names if name in calibration}
    if set(calibration) != set(names) or len(counts) != 1 or 0 in counts:
        raise RequestError(
            f"received {sorted(counts)} calibration samples for "
            f"{sorted(calibration)}; expected the same number for each of "
            f"{names}"
        )
    return {
        spec.name: np.asarray(calibration[spec.name], spec.dtype)
        for spec in specs
    }


def largest_weight(
    kernel: np.ndarray, axes: tuple[int, ...] | None = None
) -> np.ndarray:
    """Return the largest magnitude along axes, without copying the kernel."""
    return np.maximum(
        kernel.max(axes, keepdims=True), -kernel.min(axes, keepdims=True)
    )


def kernel_scale(kernel: np.ndarray, axis: int) -> np.ndarray:
    """Return the scale of each filter, as the quantizers compute it.

    Args:
        kernel: the weights, in any order of axes.
        axis: the axis of the filters. The other axes have length 1 in the
            result.
    """
    others = tuple(x for x in range(kernel.ndim) if x != axis % kernel.ndim)
    largest = largest_weight(kernel, others)
    return np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1))


def rounded_kernel(
    kernel: np.ndarray, integers: np.ndarray, axis: int
) -> np.ndarray:
    """Return the float kernel that a quantizer turns into these integers.

    Args:
        kernel: the weights.
        integers: their rounded values, in the same order of axes.
        axis: the axis of the filters.

    Returns:
        `kernel` itself if the integers belong to another kernel.
    """
    scale = kernel_scale(kernel, axis)
    if (
        integers.shape != kernel.shape
        or np.abs(np.rint(kernel / scale) - integers).max() > DRIFT
    ):
        return kernel
    return integers * scale
