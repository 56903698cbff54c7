"""Conversions of operations on integers."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper

from keras_inception_export.formats.onnx.conversions.rewriting import (
    FLOATS,
    INT64,
    Formula,
    convert_by_default,
)

UNSIGNED = (
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
)
SIZES = (
    *("Add", "Cast", "Concat", "Div", "Gather", "Mul", "ReduceProd", "Reshape"),
    *("Shape", "Slice", "Squeeze", "Unsqueeze"),
)
"""Operators that compute sizes from sizes."""


def floor_div(graph: Any, node: Any) -> None:
    """Round the quotient of integers down; tf2onnx rounds towards zero."""
    new = Formula(graph, node)
    if new.dtype in (*FLOATS, *UNSIGNED) or all(map(is_size, node.inputs)):
        convert_by_default(graph, node)
        return
    x, y = new.inputs
    remainder = new("Mod", x, y)
    negative = new("Xor", new("Less", x, 0), new("Less", y, 0))
    inexact = new("Not", new("Equal", remainder, 0))
    rounded_up = new.cast(new("And", negative, inexact), new.dtype)
    new.replace_with(new("Sub", new("Div", x, y), rounded_up))


def floor_mod(graph: Any, node: Any) -> None:
    """Compute the remainder that has the sign of the divisor.

    tf2onnx rounds the quotient of integers towards zero, and loses the
    remainder of large floats.
    """
    new = Formula(graph, node)
    x, y = new.inputs
    if all(map(is_size, node.inputs)):
        convert_by_default(graph, node)
    elif new.dtype not in FLOATS:
        new.replace_with(new("Mod", x, y))
    else:
        remainder = new("Mod", x, y, fmod=1)
        signs = new("Mul", new("Sign", remainder), new("Sign", y))
        moved = new("Add", remainder, y)
        new.replace_with(new("Where", new("Less", signs, 0), moved, remainder))


def is_size(node: Any) -> bool:
    """Return whether the values of a node are sizes, so not negative."""
    if node.is_const():
        return bool(np.all(node.get_tensor_value(as_list=False) >= 0))
    return node.type == "Shape" or (
        node.type in SIZES
        and all(is_size(x) for x in node.inputs if x is not None)
    )


def shift(graph: Any, node: Any) -> None:
    """Shift the bits of signed integers; ONNX shifts unsigned ones.

    TensorFlow limits the shift to the number of bits less one.
    """
    new = Formula(graph, node)
    x, y = new.inputs
    direction = node.type.removesuffix("Shift").upper()
    bits = np.iinfo(helper.tensor_dtype_to_np_dtype(new.dtype)).bits
    wide = new.cast(y, INT64)
    places = new("Min", new("Max", wide, 0), bits - 1)

    def shifted(value: str) -> str:
        pattern = new.cast(value, TensorProto.UINT64)
        by = new.cast(places, TensorProto.UINT64)
        result = new("BitShift", pattern, by, direction=direction)
        return new.cast(result, new.dtype)

    if direction == "LEFT" or new.dtype in UNSIGNED:
        new.replace_with(shifted(x))
        return
    inverted = shifted(new("Sub", -1, x))
    negative = new("Less", x, 0)
    new.replace_with(
        new("Where", negative, new("Sub", -1, inverted), shifted(x))
    )


def bitwise_and(graph: Any, node: Any) -> None:
    """Compute `x & sign bit` without BitwiseAnd, which opset 18 introduced."""
    x = sign_bit_of(node)
    if x is None:
        convert_by_default(graph, node)
        return
    new = Formula(graph, node)
    lowest = new.constant(np.iinfo(np.int32).min)
    new.replace_with(new("Where", new("Less", x, 0), lowest, new.constant(0)))


def sign_bit_of(node: Any) -> str | None:
    """Return the x of a node that computes `x & int32.min`, else `None`."""
    if node.type != "BitwiseAnd":
        return None
    for mask, x in (node.inputs, node.inputs[::-1]):
        if mask.is_const():
            value = mask.get_tensor_value(as_list=False)
            if value.dtype == np.int32 and np.all(value == -(2**31)):
                return x.output[0]
    return None


def int32_sum(graph: Any, node: Any) -> None:
    """Add int32 as int64: a sum that overflows wraps in TensorFlow."""
    new = Formula(graph, node)
    if new.dtype != TensorProto.INT32 or is_size(node.inputs[0]):
        convert_by_default(graph, node)
        return
    graph.insert_new_node_on_input(node, "Cast", node.input[0], to=INT64)
    graph.set_dtype(node.input[0], INT64)
    graph.set_dtype(node.output[0], INT64)
    convert_by_default(graph, node)
    cast = graph.insert_new_node_on_output("Cast", node.output[0], to=new.dtype)
    graph.set_dtype(cast.output[0], new.dtype)
    graph.copy_shape(node.output[0], cast.output[0])


def product(graph: Any, node: Any) -> None:
    """Multiply integers by halves, as Mul wraps and ReduceProd does not."""
    new = Formula(graph, node)
    shape = graph.get_shape(node.input[0])
    given = np.ravel(node.inputs[1].get_tensor_value(as_list=False))
    axes = sorted(int(axis) % len(shape) for axis in given)
    known = all(shape[axis] > 0 for axis in axes)
    if new.dtype in FLOATS or is_size(node.inputs[0]) or not known:
        convert_by_default(graph, node)
        return
    x, _ = new.inputs
    for axis in axes:
        length = shape[axis]
        while length > 1:
            half, odd = divmod(length, 2)
            sizes = [half, half] + [1] * odd
            first, second, *rest = new.several(
                "Split", len(sizes), x, sizes, axis=axis
            )
            x = new("Mul", first, second)
            x = new("Concat", x, *rest, axis=axis) if rest else x
            length = half + odd
    if not node.get_attr_value("keep_dims", 0):
        x = new("Squeeze", x, axes)
    new.replace_with(x)


def cumulative_product(graph: Any, node: Any) -> None:
    """Count a negative axis from the start, which tf2onnx does not."""
    axis = node.inputs[1].get_tensor_value()
    if axis < 0:
        new = Formula(graph, node)
        rank = len(graph.get_shape(node.input[0]))
        positive = new.constant(axis + rank, graph.get_dtype(node.input[1]))
        graph.replace_input(node, node.input[1], positive, 1)
    convert_by_default(graph, node)


def top_k(graph: Any, node: Any) -> None:
    """Compare integers as such; tf2onnx compares them as float32."""
    new = Formula(graph, node)
    if new.dtype in FLOATS:
        convert_by_default(graph, node)
        return
    x, k = new.inputs
    k = new("Reshape", new.cast(k, INT64), [1])
    values, indices = new.several("TopK", 2, x, k)
    new.replace_with(values, new.cast(indices, node.output_dtypes[1]))


def broadcast_shape(graph: Any, node: Any) -> None:
    """Compute the shape to which two shapes are broadcast."""
    new = Formula(graph, node)
    ranks = [graph.get_shape(x)[0] for x in new.inputs]
    one, other = (
        new("Concat", new.constant([1] * (max(ranks) - rank)), x, axis=0)
        for rank, x in zip(ranks, new.inputs, strict=True)
    )
    new.replace_with(new("Where", new("Equal", one, 1), other, one))


def bucketize(graph: Any, node: Any) -> None:
    """Count the boundaries that are not above a value."""
    new = Formula(graph, node)
    boundaries = node.get_attr("boundaries").floats
    x = new("Unsqueeze", new.cast(new.inputs[0], TensorProto.FLOAT), [-1])
    below = new("Less", x, new.constant(boundaries, TensorProto.FLOAT))
    reached = new.cast(new("Not", below), INT64)
    count = new("ReduceSum", reached, [-1], keepdims=0)
    new.replace_with(new.cast(count, graph.get_dtype(node.output[0])))


def bound(graph: Any, node: Any) -> None:
    """Count the sorted numbers below each value, or not above it."""
    new = Formula(graph, node)
    numbers, values = new.inputs
    operator = "Less" if node.type == "LowerBound" else "LessOrEqual"
    pairs = new("Unsqueeze", numbers, [1]), new("Unsqueeze", values, [2])
    count = new("ReduceSum", new.cast(new(operator, *pairs), INT64), [-1])
    count = new("Squeeze", count, [-1])
    new.replace_with(new.cast(count, graph.get_dtype(node.output[0])))


def one_hot(graph: Any, node: Any) -> None:
    """Compare with every index: a negative one is hot nowhere.

    In ONNX, OneHot counts negative indices from the end.
    """
    new = Formula(graph, node)
    indices, depth, on, off = new.inputs
    rank = len(graph.get_shape(node.output[0]))
    axis = node.get_attr_value("axis", -1) % rank
    shape = [-1 if x == axis else 1 for x in range(rank)]
    numbers = new("Range", 0, new.cast(depth, INT64), 1)
    wanted = new("Unsqueeze", new.cast(indices, INT64), [axis])
    hot = new("Equal", wanted, new("Reshape", numbers, shape))
    new.replace_with(new("Where", hot, on, off))
