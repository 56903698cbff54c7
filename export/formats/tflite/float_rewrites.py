"""Rewrites of functions of floating-point numbers."""

import functools

import numpy as np
import tensorflow as tf

from keras_inception_export.formats.rewriting import op_type_of
from keras_inception_export.formats.tflite.function_rewrites import polynomial
from keras_inception_export.formats.tflite.integer_rewrites import (
    computed_in,
    in_int32,
)


def softplus(x: tf.Tensor) -> tf.Tensor:
    """Keep log(1 + exp(x)), which is written for it, from overflowing."""
    return tf.nn.relu(x) + tf.math.log1p(tf.exp(-tf.abs(x)))


def log1p(x: tf.Tensor) -> tf.Tensor:
    """Keep the digits of a small x, which log(1 + x) loses.

    log(1 + x) = 2 artanh(s) with s = x / (2 + x); the first term that is left
    out of the series is less than 1e-10 of the sum.
    """
    s = x / (2 + x)
    series = 2 * s * polynomial(s * s, [1 / n for n in range(1, 13, 2)])
    return tf.where(tf.abs(x) < 0.3, series, tf.math.log(1 + x))


def expm1(x: tf.Tensor) -> tf.Tensor:
    """Keep the digits of a small x, which exp(x) - 1 loses."""
    t = tf.tanh(x / 2)
    return tf.where(tf.abs(x) < 0.5, 2 * t / (1 - t), tf.exp(x) - 1)


def atan2(y: tf.Tensor, x: tf.Tensor) -> tf.Tensor | None:
    """Give both the same shape: TFLite does not broadcast them."""
    if x.shape.is_fully_defined() and x.shape == y.shape:
        return None
    return tf.atan2(y * tf.ones_like(x), x * tf.ones_like(y))


def rsqrt(x: tf.Tensor) -> tf.Tensor | None:
    """Return infinity for zero, not NaN, so that a zero vector normalizes to 0.

    1 / sqrt(x) would become the same operator. What has a positive constant
    added, as in every kind of normalization layer, is not zero.
    """
    if op_type_of(x) in ("Add", "AddV2", "Maximum"):
        constants = map(tf.get_static_value, x.op.inputs)
        if any(c is not None and np.all(c > 0) for c in constants):
            return None
    return tf.where(tf.equal(x, 0), 1 / x, tf.math.rsqrt(x))


# Keras computes the places of quantiles in float64, which has no kernels.
in_float32 = functools.partial(computed_in, tf.float32, (tf.float64,))


def floor_div(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Round the quotient: TFLite fails where a float is divided by 0."""
    if x.dtype.is_floating:
        if tf.get_static_value(y) is not None:
            # By a constant, the converter would multiply by its inverse.
            y = tf.where(tf.abs(x) >= 0, y, tf.zeros_like(y))
        return tf.floor(x / y)
    return in_int32(tf.math.floordiv)(x, y)
