"""Conversion of slices with steps, an ellipsis and new axes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from keras_inception_export.formats.onnx.conversions.rewriting import (
    INT64,
    Formula,
    value_of,
)

LOWEST, HIGHEST = np.iinfo("int64").min, np.iinfo("int64").max


def strided_slice(new: Formula) -> str | Sequence[str]:
    """Count axes after an ellipsis or new axes; tf2onnx confuses them."""
    x, begin, end, _ = new.inputs
    steps = value_of(new.node.inputs[3])
    masked = {name: _mask(new.node, name) for name in MASKS}
    if steps is None or not any(
        masked[name](index)
        for name in ("ellipsis", "new_axis")
        for index in range(len(steps))
    ):
        return new.by_default()
    kept: list[int] = []
    axes: list[int] = []
    added: list[int] = []
    result = axis = 0  # the next axis of the result, and of x
    for index in range(len(steps)):
        if masked["ellipsis"](index):
            later = range(index + 1, len(steps))
            read = sum(not masked["new_axis"](i) for i in later)
            result += new.rank(x) - read - axis
            axis = new.rank(x) - read
        elif masked["new_axis"](index):
            added.append(result)
            result += 1
        else:
            kept.append(index)
            axes.append(axis)
            axis += 1
            result += not masked["shrink_axis"](index)
    if kept:
        forward = steps[kept] > 0
        start = _limit(new, begin, kept, masked["begin"], ~forward)
        after = new("Add", start, [1])
        is_last = new("Equal", after, [0])  # the element at -1
        after = new("Where", is_last, [HIGHEST], after)
        stop = _limit(new, end, kept, masked["end"], forward)
        single = [masked["shrink_axis"](index) for index in kept]
        is_single = new.constant(single, TensorProto.BOOL)
        stop = new("Where", is_single, after, stop)
        x = new("Slice", x, start, stop, axes, steps[kept].tolist())
        removed = [a for a, is_one in zip(axes, single, strict=True) if is_one]
        x = new("Squeeze", x, removed) if removed else x
    return new("Unsqueeze", x, added) if added else x


MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")


def _mask(node: Any, name: str) -> Callable[[int], bool]:
    """Return the function of an index that says whether its bit is set."""
    bits = node.get_attr_value(f"{name}_mask", 0)
    return lambda index: bool(bits >> index & 1)


def _limit(
    new: Formula,
    given: str,
    kept: list[int],
    is_open: Callable[[int], bool],
    at_end: np.ndarray,
) -> str:
    """Return one limit of a slice per axis, the outermost where it is open."""
    limits = new("Gather", new.cast(given, INT64), kept)
    opened = new.constant([is_open(i) for i in kept], TensorProto.BOOL)
    outermost = np.where(at_end, HIGHEST, LOWEST).tolist()
    return new("Where", opened, outermost, limits)
