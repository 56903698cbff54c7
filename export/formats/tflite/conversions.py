"""What TFLite's converter or runtime gets wrong or lacks, and the remedies.

`CONVERSIONS` has, for a type of TensorFlow operation, the function that
computes the same with operators that TFLite gets right. The model is traced
with these functions for TFLite only; each says what is wrong without it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_inception_export.formats.tflite.rewriting import Rewrite

_LARGEST = np.finfo("float32").max

_NARROW = (tf.int8, tf.uint8, tf.int16, tf.uint16)
"""Integers for which most operators have no kernel, or only one that expects a
quantized tensor (and aborts the process without)."""

CONVERSIONS: dict[str, Rewrite] = {}


def _conversion(*op_types: str) -> Callable[[Rewrite], Rewrite]:
    def add(rewrite: Rewrite) -> Rewrite:
        CONVERSIONS.update(dict.fromkeys(op_types, rewrite))
        return rewrite

    return add


@_conversion("Softplus")
def softplus(x: tf.Tensor) -> tf.Tensor:
    """Keep log(1 + exp(x)), which is written for it, from overflowing."""
    return tf.nn.relu(x) + tf.math.log1p(tf.exp(-tf.abs(x)))


@_conversion("Log1p")
def log1p(x: tf.Tensor) -> tf.Tensor:
    """Keep the digits of a small x, which log(1 + x) loses.

    log(1 + x) = 2 artanh(s) with s = x / (2 + x); the first term that is left
    out of the series is less than 1e-10 of the sum.
    """
    s = x / (2 + x)
    series = 2 * s * _polynomial(s * s, [1 / n for n in range(1, 13, 2)])
    return tf.where(tf.abs(x) < 0.3, series, tf.math.log(1 + x))


@_conversion("Expm1")
def expm1(x: tf.Tensor) -> tf.Tensor:
    """Keep the digits of a small x, which exp(x) - 1 loses."""
    t = tf.tanh(x / 2)
    return tf.where(tf.abs(x) < 0.5, 2 * t / (1 - t), tf.exp(x) - 1)


@_conversion("Selu")
def selu(x: tf.Tensor) -> tf.Tensor:
    """Use ELU: the converter writes exp(x) - 1."""
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return scale * tf.nn.relu(x) + scale * alpha * tf.nn.elu(-tf.nn.relu(-x))


@_conversion("Rsqrt")
def rsqrt(x: tf.Tensor) -> tf.Tensor | None:
    """Return infinity for zero, not NaN, so that a zero vector normalizes to 0.

    1 / sqrt(x) would become the same operator. What has a positive constant
    added, as in every kind of normalization layer, is not zero.
    """
    if x.op.type in ("Add", "AddV2", "Maximum"):
        constants = map(tf.get_static_value, x.op.inputs)
        if any(c is not None and np.all(c > 0) for c in constants):
            return None
    return tf.where(tf.equal(x, 0), 1 / x, tf.math.rsqrt(x))


@_conversion("IsInf")
def is_inf(x: tf.Tensor) -> tf.Tensor:
    """Compare with a number: the converter makes infinite constants finite."""
    return tf.abs(x) > _LARGEST


def _equal(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Return whether x is an infinite constant y, or y an infinite x."""
    for one, other in ((x, y), (y, x)):
        value = tf.get_static_value(other) if other.dtype.is_floating else None
        if value is not None and np.size(value) and np.all(np.isinf(value)):
            return one * tf.sign(tf.constant(value)) > _LARGEST
    return None


@_conversion("Equal")
def equal(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Find infinities although the converter makes the constant finite."""
    found = _equal(x, y)
    return _in_int32(tf.equal)(x, y) if found is None else found


@_conversion("NotEqual")
def not_equal(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Find infinities although the converter makes the constant finite."""
    found = _equal(x, y)
    return _in_int32(tf.not_equal)(x, y) if found is None else ~found


@_conversion("BitwiseAnd")
def bitwise_and(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Use x + y = (x ^ y) + 2 (x & y), on halves whose sum does not overflow.

    TFLite has of the three only the exclusive or.
    """
    if x.dtype in _NARROW:
        return _in_int32(bitwise_and)(x, y)
    if x.dtype != tf.int32:
        return None
    high = [tf.bitwise.right_shift(z, 16) for z in (x, y)]
    low = [z - 65536 * h for z, h in zip((x, y), high, strict=True)]
    both = [
        tf.bitwise.right_shift(a + b - tf.bitwise.bitwise_xor(a, b), 1)
        for a, b in (high, low)
    ]
    return 65536 * both[0] + both[1]


@_conversion("BitwiseOr")
def bitwise_or(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Join the bits that differ and those that are set in both."""
    if x.dtype not in (*_NARROW, tf.int32):
        return None
    both = tf.bitwise.bitwise_and(x, y)
    return tf.bitwise.bitwise_xor(x, y) + both


@_conversion("Invert")
def invert(x: tf.Tensor) -> tf.Tensor | None:
    """Use -1 - x, which inverts every bit."""
    if x.dtype in _NARROW:
        return _in_int32(tf.bitwise.invert)(x)
    return None if x.dtype.is_unsigned else -1 - x


@_conversion("LeftShift")
def left_shift(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Multiply by a power of two, looked up in a table."""
    if x.dtype in _NARROW:
        return _in_int32(left_shift)(x, y)
    if x.dtype != tf.int32:
        return None
    powers = (2 ** np.arange(32, dtype="int64")).astype("int32")
    return x * tf.gather(powers, tf.clip_by_value(y, 0, 31))


@_conversion("Pow")
def power(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Multiply integers, which keeps every bit, as the kernel does not."""
    exponent = tf.get_static_value(y)
    if x.dtype.is_floating or np.size(exponent) != 1:
        return _in_int32(tf.pow)(x, y)
    count = int(np.squeeze(exponent))
    if not 0 <= count <= 16:
        return None
    product = tf.ones_like(x + y)
    for _ in range(count):
        product *= x
    return product


@_conversion("Abs")
def absolute(x: tf.Tensor) -> tf.Tensor | None:
    """Compute what has no kernel for integers other than int32."""
    return tf.maximum(x, -x) if x.dtype == tf.int64 else _in_int32(tf.abs)(x)


@_conversion("Sign")
def sign(x: tf.Tensor) -> tf.Tensor | None:
    """Compute what has no kernel for integers other than int32."""
    if x.dtype == tf.int64:
        return tf.cast(x > 0, x.dtype) - tf.cast(x < 0, x.dtype)
    return _in_int32(tf.sign)(x)


@_conversion("Roll")
def roll(x: tf.Tensor, shift: tf.Tensor, axis: tf.Tensor) -> tf.Tensor | None:
    """Join the two parts along each axis: TFLite has no such operator."""
    shifts, axes = tf.get_static_value(shift), tf.get_static_value(axis)
    if shifts is None or axes is None:
        return None
    result = x
    pairs = zip(np.atleast_1d(shifts), np.atleast_1d(axes), strict=True)
    for count, number in pairs:
        length = x.shape[number]
        if length is None:
            length = tf.shape(x)[number]
        start = (length - count) % length
        parts = tf.split(result, [start, length - start], axis=number)
        result = tf.concat(parts[::-1], axis=number)
    result.set_shape(x.shape)
    return result


@_conversion("DenseBincount")
def bincount(
    x: tf.Tensor,
    size: tf.Tensor,
    weights: tf.Tensor,
    *,
    binary_output: bool = False,
) -> tf.Tensor | None:
    """Add one-hot vectors: TFLite has no such operator."""
    count = tf.get_static_value(size)
    if count is None:
        return None
    vectors = tf.one_hot(x, count, dtype=weights.dtype)
    if weights.shape.num_elements() != 0:
        vectors *= weights[..., tf.newaxis]
    combine = tf.reduce_max if binary_output else tf.reduce_sum
    return combine(vectors, axis=-2)


@_conversion("Max")
def reduce_max(
    x: tf.Tensor, axis: tf.Tensor, *, keep_dims: bool = False
) -> tf.Tensor | None:
    """Compute narrow integers in int32."""
    return _in_int32(tf.reduce_max)(x, axis, keep_dims)


@_conversion("Min")
def reduce_min(
    x: tf.Tensor, axis: tf.Tensor, *, keep_dims: bool = False
) -> tf.Tensor | None:
    """Compute narrow integers in int32."""
    return _in_int32(tf.reduce_min)(x, axis, keep_dims)


@_conversion("Sum")
def reduce_sum(
    x: tf.Tensor, axis: tf.Tensor, *, keep_dims: bool = False
) -> tf.Tensor | None:
    """Compute narrow integers in int32."""
    return _in_int32(tf.reduce_sum)(x, axis, keep_dims)


@_conversion("Cumsum")
def cumsum(
    x: tf.Tensor,
    axis: tf.Tensor,
    *,
    exclusive: bool = False,
    reverse: bool = False,
) -> tf.Tensor | None:
    """Compute narrow integers in int32."""
    return _in_int32(tf.cumsum)(x, axis, exclusive, reverse)


def _in_int32(function: Callable[..., Any]) -> Rewrite:
    """Return a rewrite that computes narrow integers in int32.

    The lower bits of the result are those of the narrow computation.
    """

    def rewrite(*inputs: Any) -> tf.Tensor | None:
        dtypes = [getattr(x, "dtype", None) for x in inputs]
        narrow = [dtype for dtype in dtypes if dtype in _NARROW]
        if not narrow:
            return None
        result = function(
            *(
                tf.cast(x, tf.int32) if dtype in _NARROW else x
                for x, dtype in zip(inputs, dtypes, strict=True)
            )
        )
        return tf.cast(result, narrow[0]) if result.dtype == tf.int32 else result

    return rewrite


def _polynomial(x: tf.Tensor, coefficients: list[float]) -> Any:
    """Evaluate a polynomial, given from its constant term on."""
    result: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = coefficient + x * result
    return result


CONVERSIONS |= {
    name: _in_int32(function)
    for name, function in {
        "Add": tf.add,
        "AddV2": tf.add,
        "FloorDiv": tf.math.floordiv,
        "FloorMod": tf.math.floormod,
        "Greater": tf.greater,
        "GreaterEqual": tf.greater_equal,
        "Less": tf.less,
        "LessEqual": tf.less_equal,
        "Maximum": tf.maximum,
        "Minimum": tf.minimum,
        "Mul": tf.multiply,
        "Neg": tf.negative,
        "Pad": tf.pad,
        "PadV2": lambda x, size, value: tf.pad(x, size, constant_values=value),
        "Relu": tf.nn.relu,
        "ReverseV2": tf.reverse,
        "SelectV2": tf.where,
        "Square": tf.square,
        "Sub": tf.subtract,
        "Tile": tf.tile,
    }.items()
}
