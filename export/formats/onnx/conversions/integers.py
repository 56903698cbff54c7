"""Conversions of operations on integers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from keras_inception_export.formats.onnx.conversions.rewriting import (
    FLOATS,
    INT64,
    Formula,
    value_of,
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


def floor_div(new: Formula) -> str | Sequence[str]:
    """Round the quotient of integers down; tf2onnx rounds towards zero."""
    if new.dtype in (*FLOATS, *UNSIGNED) or all(map(is_size, new.node.inputs)):
        return new.by_default()
    x, y = new.inputs
    remainder = new("Mod", x, y)
    negative = new("Xor", new("Less", x, 0), new("Less", y, 0))
    inexact = new("Not", new("Equal", remainder, 0))
    rounded_up = new.cast(new("And", negative, inexact), new.dtype)
    return new("Sub", new("Div", x, y), rounded_up)


def floor_mod(new: Formula) -> str | Sequence[str]:
    """Compute the remainder that has the sign of the divisor.

    tf2onnx rounds the quotient of integers towards zero, and loses the
    remainder of large floats.
    """
    x, y = new.inputs
    if all(map(is_size, new.node.inputs)):
        return new.by_default()
    if new.dtype not in FLOATS:
        return new("Mod", x, y)
    remainder = new("Mod", x, y, fmod=1)
    signs = new("Mul", new("Sign", remainder), new("Sign", y))
    moved = new("Add", remainder, y)
    return new("Where", new("Less", signs, 0), moved, remainder)


def is_size(node: Any) -> bool:
    """Return whether the values of a node are sizes, so not negative."""
    value = value_of(node)
    if value is not None:
        return bool(np.all(value >= 0))
    return node.type == "Shape" or (
        node.type in SIZES
        and all(is_size(x) for x in node.inputs if x is not None)
    )


def shift(new: Formula) -> str:
    """Shift the bits of signed integers; ONNX shifts unsigned ones.

    TensorFlow limits the shift to the number of bits less one.
    """
    x, y = new.inputs
    direction = new.node.type.removesuffix("Shift").upper()
    bits = np.iinfo(helper.tensor_dtype_to_np_dtype(new.dtype)).bits
    wide = new.cast(y, INT64)
    places = new("Min", new("Max", wide, 0), bits - 1)

    def shifted(value: str) -> str:
        pattern = new.cast(value, TensorProto.UINT64)
        by = new.cast(places, TensorProto.UINT64)
        result = new("BitShift", pattern, by, direction=direction)
        return new.cast(result, new.dtype)

    if direction == "LEFT" or new.dtype in UNSIGNED:
        return shifted(x)
    inverted = shifted(new("Sub", -1, x))
    negative = new("Less", x, 0)
    return new("Where", negative, new("Sub", -1, inverted), shifted(x))


def bitwise_and(new: Formula) -> str | Sequence[str]:
    """Compute `x & sign bit` without BitwiseAnd, which opset 18 introduced."""
    x = sign_bit_of(new.node)
    if x is None:
        return new.by_default()
    lowest = new.constant(np.iinfo(np.int32).min)
    return new("Where", new("Less", x, 0), lowest, new.constant(0))


def sign_bit_of(node: Any) -> str | None:
    """Return the x of a node that computes `x & int32.min`, else `None`."""
    if node.type != "BitwiseAnd":
        return None
    for mask, x in (node.inputs, node.inputs[::-1]):
        value = value_of(mask)
        if (
            value is not None
            and value.dtype == np.int32
            and np.all(value == -(2**31))
        ):
            return x.output[0]
    return None


def int32_sum(new: Formula) -> Sequence[str]:
    """Add int32 as int64: a sum that overflows wraps in TensorFlow."""
    graph, node = new.graph, new.node
    if new.dtype != TensorProto.INT32 or is_size(node.inputs[0]):
        return new.by_default()
    graph.insert_new_node_on_input(node, "Cast", node.input[0], to=INT64)
    graph.set_dtype(node.input[0], INT64)
    graph.set_dtype(node.output[0], INT64)
    new.by_default()
    cast = graph.insert_new_node_on_output("Cast", node.output[0], to=new.dtype)
    graph.set_dtype(cast.output[0], new.dtype)
    graph.copy_shape(node.output[0], cast.output[0])
    return ()


def pad(new: Formula) -> tuple[()]:
    """Convert the value to pad with where tf2onnx pads integers as floats."""
    if new.dtype not in (TensorProto.INT32, INT64, *FLOATS):
        value = new.cast(new.inputs[2], TensorProto.FLOAT)
        new.graph.replace_input(new.node, new.inputs[2], value, 2)
    return new.by_default()


def product(new: Formula) -> str | Sequence[str]:
    """Multiply integers by halves, as Mul wraps and ReduceProd does not."""
    node = new.node
    x, _ = new.inputs
    shape = new.graph.get_shape(x)
    given = np.ravel(node.inputs[1].get_tensor_value(as_list=False))
    axes = sorted(int(axis) % len(shape) for axis in given)
    known = all(shape[axis] > 0 for axis in axes)
    if new.dtype in FLOATS or is_size(node.inputs[0]) or not known:
        return new.by_default()
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
    return x


def cumulative_product(new: Formula) -> Sequence[str]:
    """Count a negative axis from the start, which tf2onnx does not."""
    node, (x, axis) = new.node, new.inputs
    value = node.inputs[1].get_tensor_value()
    if value < 0:
        dtype = new.graph.get_dtype(axis)
        positive = new.constant(value + new.rank(x), dtype)
        new.graph.replace_input(node, axis, positive, 1)
    return new.by_default()


def top_k(new: Formula) -> Sequence[str]:
    """Compare integers as such; tf2onnx compares them as float32."""
    if new.dtype in FLOATS:
        return new.by_default()
    x, k = new.inputs
    k = new("Reshape", new.cast(k, INT64), [1])
    values, indices = new.several("TopK", 2, x, k)
    return values, new.cast(indices, new.node.output_dtypes[1])


def broadcast_shape(new: Formula) -> str:
    """Compute the shape to which two shapes are broadcast."""
    ranks = [new.graph.get_shape(x)[0] for x in new.inputs]
    one, other = (
        new("Concat", new.constant([1] * (max(ranks) - rank)), x, axis=0)
        for rank, x in zip(ranks, new.inputs, strict=True)
    )
    return new("Where", new("Equal", one, 1), other, one)


def bucketize(new: Formula) -> str:
    """Count the boundaries that are not above a value."""
    boundaries = new.node.get_attr("boundaries").floats
    x = new("Unsqueeze", new.cast(new.inputs[0], TensorProto.FLOAT), [-1])
    below = new("Less", x, new.constant(boundaries, TensorProto.FLOAT))
    reached = new.cast(new("Not", below), INT64)
    count = new("ReduceSum", reached, [-1], keepdims=0)
    return new.cast(count, new.result_dtype)


def bound(new: Formula) -> str:
    """Count the sorted numbers below each value, or not above it."""
    numbers, values = new.inputs
    operator = "Less" if new.node.type == "LowerBound" else "LessOrEqual"
    pairs = new("Unsqueeze", numbers, [1]), new("Unsqueeze", values, [2])
    count = new("ReduceSum", new.cast(new(operator, *pairs), INT64), [-1])
    return new.cast(new("Squeeze", count, [-1]), new.result_dtype)


def one_hot(new: Formula) -> str:
    """Compare with every index: a negative one is hot nowhere.

    In ONNX, OneHot counts negative indices from the end.
    """
    indices, depth, on, off = new.inputs
    rank = new.rank(new.node.output[0])
    axis = new.node.get_attr_value("axis", -1) % rank
    shape = [-1 if x == axis else 1 for x in range(rank)]
    numbers = new("Range", 0, new.cast(depth, INT64), 1)
    wanted = new("Unsqueeze", new.cast(indices, INT64), [axis])
    hot = new("Equal", wanted, new("Reshape", numbers, shape))
    return new("Where", hot, on, off)
