"""Conversions of operations on floats."""

from typing import Any

from onnx import TensorProto

from keras_inception_export.formats.onnx.conversions.integers import (
    sign_bit_of,
)
from keras_inception_export.formats.onnx.conversions.rewriting import (
    FLOATS,
    Conversion,
    Formula,
    convert_by_default,
)


def _select(graph: Any, node: Any) -> None:
    """Choose with Where; tf2onnx multiplies by 0, and inf * 0 is NaN."""
    if graph.get_dtype(node.output[0]) in FLOATS:
        node.set_attr("handles_nan", 1)
    convert_by_default(graph, node)


def _band_part(graph: Any, node: Any) -> None:
    """Choose the band of a matrix; tf2onnx multiplies the rest by 0."""
    new = Formula(graph, node)
    x, lower, upper = new.inputs
    integer = TensorProto.INT64

    def positions(axis: int) -> str:
        length = new("Gather", new("Shape", x), new.constant(axis, integer))
        return new("Range", new.constant(0, integer), length, 1)

    last = new.constant([-1], integer)
    below = new("Sub", new("Unsqueeze", positions(-2), last), positions(-1))

    def within(distance: str, limit: str) -> str:
        limit = new.cast(limit, integer)
        near = new("Not", new("Greater", distance, limit))
        return new("Or", new("Less", limit, 0), near)

    band = new("And", within(below, lower), within(new("Neg", below), upper))
    new.replace_with(new("Where", band, x, new.constant(0)))


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


def _bitcast(graph: Any, node: Any) -> None:
    """Read the bits of floats, where only the sign bit is used.

    ONNX cannot read bits. `argmax` and `signbit` of Keras read the sign of
    zeros.
    """
    new = Formula(graph, node)
    readers = graph.find_output_consumers(node.output[0])
    if new.dtype not in FLOATS or not all(map(sign_bit_of, readers)):
        return  # reported as not converted
    (x,) = new.inputs
    below_zero = new("Less", new("Div", new.constant(1), x), 0)
    sign = new("Or", new("Less", x, 0), below_zero)
    to = graph.get_dtype(node.output[0])
    new.replace_with(new("Neg", new.cast(sign, to)))


REALS: dict[str, Conversion] = {
    "Bitcast": _bitcast,
    "Erfc": _erfc,
    "Expm1": _expm1,
    "Log1p": _log1p,
    "MatrixBandPart": _band_part,
    "Select": _select,
    "SelectV2": _select,
}
