"""Conversions of elementwise operations and reductions."""

from typing import Any

import numpy as np
from onnx import TensorProto

from keras_inception_export.formats.onnx.conversions.rewriting import (
    Conversion,
    Formula,
    convert_by_default,
)

FLOATS = (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE)
UNSIGNED = (
    TensorProto.UINT8,
    TensorProto.UINT16,
    TensorProto.UINT32,
    TensorProto.UINT64,
)
SIZES = (
    *("Add", "Cast", "Concat", "Gather", "Mul", "ReduceProd", "Reshape"),
    *("Shape", "Slice", "Squeeze", "Unsqueeze"),
)
"""Operators that compute sizes from sizes."""


def _floor_div(graph: Any, node: Any) -> None:
    """Round the quotient of integers down; tf2onnx rounds towards zero."""
    new = Formula(graph, node)
    if new.dtype in (*FLOATS, *UNSIGNED) or all(map(_is_size, node.inputs)):
        convert_by_default(graph, node)
        return
    x, y = new.inputs
    remainder = new("Mod", x, y)
    negative = new("Xor", new("Less", x, 0), new("Less", y, 0))
    inexact = new("Not", new("Equal", remainder, 0))
    rounded_up = new.cast(new("And", negative, inexact), new.dtype)
    new.replace_with(new("Sub", new("Div", x, y), rounded_up))


def _floor_mod(graph: Any, node: Any) -> None:
    """Compute the remainder that has the sign of the divisor.

    tf2onnx rounds the quotient of integers towards zero, and loses the
    remainder of large floats.
    """
    new = Formula(graph, node)
    x, y = new.inputs
    if all(map(_is_size, node.inputs)):
        convert_by_default(graph, node)
    elif new.dtype not in FLOATS:
        new.replace_with(new("Mod", x, y))
    else:
        remainder = new("Mod", x, y, fmod=1)
        signs = new("Mul", new("Sign", remainder), new("Sign", y))
        new.replace_with(
            new(
                "Where",
                new("Less", signs, 0),
                new("Add", remainder, y),
                remainder,
            )
        )


def _is_size(node: Any) -> bool:
    """Return whether the values of a node are sizes, so not negative."""
    if node.is_const():
        return bool(np.all(node.get_tensor_value(as_list=False) >= 0))
    return node.type == "Shape" or (
        node.type in SIZES
        and all(_is_size(x) for x in node.inputs if x is not None)
    )


def _select(graph: Any, node: Any) -> None:
    """Choose with Where; tf2onnx multiplies by 0, and inf * 0 is NaN."""
    if graph.get_dtype(node.output[0]) in FLOATS:
        node.set_attr("handles_nan", 1)
    convert_by_default(graph, node)


def _erfc(graph: Any, node: Any) -> None:
    """Compute Erfc, which ONNX lacks, as 1 - Erf(x)."""
    new = Formula(graph, node)
    one = new.constant(1)
    new.replace_with(new("Sub", one, new("Erf", *new.inputs)))


def _expm1(graph: Any, node: Any) -> None:
    """Compute exp(x) - 1 without cancellation near 0.

    `(u - 1) * x / log(u)` of the rounded `u = exp(x)` is accurate (Kahan).
    """
    new = Formula(graph, node)
    (x,) = new.inputs
    u = new("Exp", x)
    plain = new("Sub", u, 1)
    accurate = new("Mul", plain, new("Div", x, new("Log", u)))
    near = new("Less", new("Abs", x), 1)
    changed = new("Not", new("Equal", plain, 0))
    # Where u is 1, exp(x) - 1 is x to the last digit.
    near_zero = new("Where", changed, accurate, x)
    new.replace_with(new("Where", near, near_zero, plain))


def _log1p(graph: Any, node: Any) -> None:
    """Compute log(1 + x) without cancellation near 0.

    `log(u) * x / (u - 1)` of the rounded `u = 1 + x` is accurate (Kahan).
    """
    new = Formula(graph, node)
    (x,) = new.inputs
    u = new("Add", x, 1)
    plain = new("Sub", u, 1)
    accurate = new("Mul", new("Log", u), new("Div", x, plain))
    near = new("Less", new("Abs", x), 1)
    changed = new("Not", new("Equal", plain, 0))
    near_zero = new("Where", changed, accurate, x)
    new.replace_with(new("Where", near, near_zero, new("Log", u)))


def _shift(graph: Any, node: Any) -> None:
    """Shift the bits of signed integers; ONNX shifts unsigned ones."""
    new = Formula(graph, node)
    x, y = new.inputs
    direction = node.type.removesuffix("Shift").upper()

    def shifted(value: str) -> str:
        bits = new.cast(value, TensorProto.UINT64)
        by = new.cast(y, TensorProto.UINT64)
        result = new("BitShift", bits, by, direction=direction)
        return new.cast(result, new.dtype)

    if direction == "LEFT" or new.dtype in UNSIGNED:
        new.replace_with(shifted(x))
        return
    inverted = new("Sub", new.constant(-1), x)
    new.replace_with(
        new(
            "Where",
            new("Less", x, 0),
            new("Sub", new.constant(-1), shifted(inverted)),
            shifted(x),
        )
    )


def _bitcast(graph: Any, node: Any) -> None:
    """Read the bits of floats, where only the sign bit is used.

    ONNX cannot read bits. `argmax` and `signbit` of Keras read the sign of
    zeros.
    """
    new = Formula(graph, node)
    readers = graph.find_output_consumers(node.output[0])
    if new.dtype not in FLOATS or not all(map(_sign_bit_of, readers)):
        return  # reported as not converted
    (x,) = new.inputs
    below_zero = new("Less", new("Div", new.constant(1), x), 0)
    sign = new("Or", new("Less", x, 0), below_zero)
    to = graph.get_dtype(node.output[0])
    new.replace_with(new("Neg", new.cast(sign, to)))


def _bitwise_and(graph: Any, node: Any) -> None:
    """Compute `x & sign bit` without BitwiseAnd, which opset 18 introduced."""
    x = _sign_bit_of(node)
    if x is None:
        convert_by_default(graph, node)
        return
    new = Formula(graph, node)
    lowest = new.constant(np.iinfo(np.int32).min)
    new.replace_with(new("Where", new("Less", x, 0), lowest, new.constant(0)))


def _sign_bit_of(node: Any) -> str | None:
    """Return the x of a node that computes `x & int32.min`, else `None`."""
    if node.type != "BitwiseAnd":
        return None
    for mask, x in (node.inputs, node.inputs[::-1]):
        if mask.is_const():
            value = mask.get_tensor_value(as_list=False)
            if value.dtype == np.int32 and np.all(value == -(2**31)):
                return x.output[0]
    return None


def _sum(graph: Any, node: Any) -> None:
    """Add int32 as int64: a sum that overflows wraps in TensorFlow."""
    new = Formula(graph, node)
    if new.dtype != TensorProto.INT32:
        convert_by_default(graph, node)
        return
    to = new.dtype
    graph.insert_new_node_on_input(
        node, "Cast", node.input[0], to=TensorProto.INT64
    )
    graph.set_dtype(node.input[0], TensorProto.INT64)
    graph.set_dtype(node.output[0], TensorProto.INT64)
    convert_by_default(graph, node)
    cast = graph.insert_new_node_on_output("Cast", node.output[0], to=to)
    graph.set_dtype(cast.output[0], to)
    graph.copy_shape(node.output[0], cast.output[0])


ARITHMETIC: dict[str, Conversion] = {
    "BitwiseAnd": _bitwise_and,
    "Bitcast": _bitcast,
    "Erfc": _erfc,
    "Expm1": _expm1,
    "FloorDiv": _floor_div,
    "FloorMod": _floor_mod,
    "LeftShift": _shift,
    "Log1p": _log1p,
    "RightShift": _shift,
    "Select": _select,
    "SelectV2": _select,
    "Sum": _sum,
}
