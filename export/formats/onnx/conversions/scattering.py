"""Conversions of operations that write at given places."""

from typing import Any

import numpy as np
from onnx import helper

from keras_inception_export.formats.onnx.conversions.rewriting import (
    INT64,
    Formula,
    convert_by_default,
)

REDUCTION_OPSET = 16
"""The first operator set whose ScatterND adds and multiplies."""
EXTREMES_OPSET = 18
"""The first whose ScatterND takes the largest and the smallest."""


def scatter(graph: Any, node: Any) -> None:
    """Add what is written to the same place; tf2onnx keeps the last of it.

    With unknown places, an older operator set is reported as not converted.
    """
    places = node.inputs[0]
    known = places.is_const() and places.get_tensor_value(as_list=False)
    if known is not False:
        rows = known.reshape(-1, known.shape[-1])
        if len(np.unique(rows, axis=0)) == len(rows):
            convert_by_default(graph, node)
            return
    if graph.opset >= REDUCTION_OPSET:
        convert_by_default(graph, node)
        node.set_attr("reduction", "add")


def reduce_segments(graph: Any, node: Any) -> None:
    """Leave out negative segments, and fill empty ones as TensorFlow does.

    tf2onnx counts negative ones from the end, and fills with infinity.
    """
    reduction = node.type.removeprefix("UnsortedSegment")
    if graph.opset < EXTREMES_OPSET or len(graph.get_shape(node.input[1])) != 1:
        convert_by_default(graph, node)
        return
    new = Formula(graph, node)
    dtype = helper.tensor_dtype_to_np_dtype(new.dtype)
    limits = np.iinfo if np.issubdtype(dtype, np.integer) else np.finfo
    onnx_name, empty = {
        "Max": ("max", limits(dtype).min),
        "Min": ("min", limits(dtype).max),
        "Prod": ("mul", 1),
        "Sum": ("add", 0),
    }[reduction]
    x, segments, count = new.inputs
    segments, count = new.cast(segments, INT64), new.cast(count, INT64)
    # What is left out goes to one more segment.
    places = new("Where", new("Less", segments, 0), count, segments)
    count = new("Reshape", count, [1])
    rest = new("Slice", new("Shape", x), [1], [np.iinfo("int64").max])
    shape = new("Concat", new("Add", count, 1), rest, axis=0)
    filled = new("Expand", new.constant(empty), shape)
    reduced = new(
        "ScatterND",
        filled,
        new("Unsqueeze", places, [-1]),
        x,
        reduction=onnx_name,
    )
    new.replace_with(new("Slice", reduced, [0], count, [0]))


def update_slice(graph: Any, node: Any) -> None:
    """Write a block at a place that is moved until the block fits."""
    new = Formula(graph, node)
    x, update, start = new.inputs
    rank = len(graph.get_shape(x))
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
    new.replace_with(new("ScatterND", x, grid, update))
