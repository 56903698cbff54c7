"""Conversions of operations that move elements to given places."""

from collections.abc import Sequence

import numpy as np
from onnx import helper

from keras_inception_export.formats.onnx.conversions.rewriting import (
    INT64,
    Formula,
    value_of,
)

REDUCTION_OPSET = 16
"""The first operator set whose ScatterND adds and multiplies."""
EXTREMES_OPSET = 18
"""The first whose ScatterND takes the largest and the smallest."""


def scatter(new: Formula) -> Sequence[str]:
    """Add what is written to the same place; tf2onnx keeps the last of it.

    With unknown places, an older operator set is reported as not converted.
    """
    places = value_of(new.node.inputs[0])
    if places is not None:
        rows = places.reshape(-1, places.shape[-1])
        if len(np.unique(rows, axis=0)) == len(rows):
            return new.by_default()
    if new.graph.opset >= REDUCTION_OPSET:
        new.by_default()
        new.node.set_attr("reduction", "add")
    return ()


def reduce_segments(new: Formula) -> str | Sequence[str]:
    """Leave out negative segments, and fill empty ones as TensorFlow does.

    tf2onnx counts negative ones from the end, and fills with infinity.
    """
    x, segments, count = new.inputs
    if new.graph.opset < EXTREMES_OPSET or new.rank(segments) != 1:
        return new.by_default()
    dtype = helper.tensor_dtype_to_np_dtype(new.dtype)
    limits = np.iinfo if np.issubdtype(dtype, np.integer) else np.finfo
    onnx_name, empty = {
        "Max": ("max", limits(dtype).min),
        "Min": ("min", limits(dtype).max),
        "Prod": ("mul", 1),
        "Sum": ("add", 0),
    }[new.node.type.removeprefix("UnsortedSegment")]
    segments, count = new.cast(segments, INT64), new.cast(count, INT64)
    # What is left out goes to one more segment.
    places = new("Where", new("Less", segments, 0), count, segments)
    count = new("Reshape", count, [1])
    rest = new("Slice", new("Shape", x), [1], [np.iinfo("int64").max])
    shape = new("Concat", new("Add", count, 1), rest, axis=0)
    filled = new("Expand", new.constant(empty), shape)
    places = new("Unsqueeze", places, [-1])
    reduced = new("ScatterND", filled, places, x, reduction=onnx_name)
    return new("Slice", reduced, [0], count, [0])


def update_slice(new: Formula) -> str:
    """Write a block at a place that is moved until the block fits."""
    x, update, start = new.inputs
    rank = new.rank(x)
    size = new("Shape", update)
    zero = new.constant(0, INT64)
    start = new("Max", new.cast(start, INT64), zero)
    start = new("Min", start, new("Sub", new("Shape", x), size))

    def places(axis: int) -> str:
        number = new.constant(axis, INT64)
        places = new("Range", zero, new("Gather", size, number), 1)
        places = new("Add", places, new("Gather", start, number))
        shape = [-1 if x == axis else 1 for x in range(rank)]
        places = new("Expand", new("Reshape", places, shape), size)
        return new("Unsqueeze", places, [rank])

    grid = new("Concat", *map(places, range(rank)), axis=rank)
    return new("ScatterND", x, grid, update)


def roll(new: Formula) -> Sequence[str]:
    """Take a list of one shift as a number, as tf2onnx does a number."""
    _, shifts, axes = new.node.inputs
    known = value_of(axes)
    if known is not None and known.size == 1:
        number = new("Reshape", shifts.output[0], [])
        new.graph.replace_input(new.node, new.node.input[1], number, 1)
    return new.by_default()
