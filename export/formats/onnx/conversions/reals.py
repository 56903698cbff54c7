"""Conversions of operations on floats."""

from collections.abc import Sequence

import numpy as np

from keras_inception_export.formats.onnx.conversions.integers import sign_bit_of
from keras_inception_export.formats.onnx.conversions.rewriting import (
    FLOATS,
    INT64,
    Formula,
)


def select(new: Formula) -> Sequence[str]:
    """Choose with Where; tf2onnx multiplies by 0, and inf * 0 is NaN."""
    if new.result_dtype in FLOATS:
        new.node.set_attr("handles_nan", 1)
    return new.by_default()


def band_part(new: Formula) -> str:
    """Choose the band of a matrix; tf2onnx multiplies the rest by 0."""
    x, lower, upper = new.inputs

    def positions(axis: int) -> str:
        length = new("Gather", new("Shape", x), new.constant(axis, INT64))
        return new("Range", new.constant(0, INT64), length, 1)

    below = new("Sub", new("Unsqueeze", positions(-2), [-1]), positions(-1))

    def within(distance: str, limit: str) -> str:
        limit = new.cast(limit, INT64)
        near = new("Not", new("Greater", distance, limit))
        return new("Or", new("Less", limit, 0), near)

    band = new("And", within(below, lower), within(new("Neg", below), upper))
    return new("Where", band, x, new.constant(0))


def erfc(new: Formula) -> str:
    """Compute Erfc, which ONNX lacks, as 1 - Erf(x)."""
    return new("Sub", 1, new("Erf", *new.inputs))


def expm1(new: Formula) -> str:
    """Compute exp(x) - 1 without cancellation near 0.

    `(u - 1) * x / log(u)` of the rounded `u = exp(x)` is accurate (Kahan).
    """
    (x,) = new.inputs
    u = new("Exp", x)
    plain = new("Sub", u, 1)
    accurate = new("Mul", plain, new("Div", x, new("Log", u)))
    return _choose(new, plain, accurate, plain)


def log1p(new: Formula) -> str:
    """Compute log(1 + x) without cancellation near 0.

    `log(u) * x / (u - 1)` of the rounded `u = 1 + x` is accurate (Kahan).
    """
    (x,) = new.inputs
    u = new("Add", x, 1)
    plain = new("Sub", u, 1)
    accurate = new("Mul", new("Log", u), new("Div", x, plain))
    return _choose(new, plain, accurate, new("Log", u))


def _choose(new: Formula, plain: str, accurate: str, far: str) -> str:
    """Return a function of x: `accurate` near 0, else `far`.

    Where `plain`, which is u - 1, is 0, the function is x to the last digit.
    """
    (x,) = new.inputs
    near = new("Less", new("Abs", x), 1)
    changed = new("Not", new("Equal", plain, 0))
    return new("Where", near, new("Where", changed, accurate, x), far)


def atan2(new: Formula) -> str:
    """Compute the angle of a point of which a coordinate is -0 or infinite.

    tf2onnx takes -0 for 0, and divides infinity by infinity.
    """
    y, x = new.inputs
    height, width = new("Abs", y), new("Abs", x)
    steep = new("Greater", height, width)
    longer = new("Where", steep, height, width)
    ratio = new("Div", new("Where", steep, width, height), longer)
    diagonal = new("Equal", height, width)
    ratio = new("Where", diagonal, new("Sign", longer), ratio)
    angle = new("Atan", ratio)
    angle = new("Where", steep, new("Sub", np.pi / 2, angle), angle)
    to_left = new("Sub", np.pi, angle)
    angle = new("Where", _is_negative(new, x), to_left, angle)
    return new("Where", _is_negative(new, y), new("Neg", angle), angle)


def _is_negative(new: Formula, x: str) -> str:
    """Add the question whether x is below zero, or -0."""
    return new("Or", new("Less", x, 0), new("Less", new("Div", 1, x), 0))


def cross_entropy(new: Formula) -> Sequence[str]:
    """Compute the loss from LogSoftmax; tf2onnx takes a logarithm of 0."""
    if new.graph.find_output_consumers(new.node.output[1]):
        return ()  # reported as not converted
    logits, labels = new.inputs
    scores = new("LogSoftmax", logits, axis=-1)
    places = new("Unsqueeze", new.cast(labels, INT64), [-1])
    loss = new("Neg", new("GatherElements", scores, places, axis=-1))
    return new("Squeeze", loss, [-1]), scores


def bitcast(new: Formula) -> str | Sequence[str]:
    """Read the bits of floats, where only the sign bit is used.

    ONNX cannot read bits. `argmax` and `signbit` of Keras read the sign of
    zeros.
    """
    readers = new.graph.find_output_consumers(new.node.output[0])
    if new.dtype not in FLOATS or not all(map(sign_bit_of, readers)):
        return ()  # reported as not converted
    (x,) = new.inputs
    return new("Neg", new.cast(_is_negative(new, x), new.result_dtype))
