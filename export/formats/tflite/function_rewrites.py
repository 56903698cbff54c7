"""Rewrites of functions of floats that TFLite has no operator for."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_inception_export.formats.rewriting import Rewrite, op_type_of

_OVERFLOW = 1e9  # x * x + 1 is x * x long before, and infinite long after


def sinh(x: tf.Tensor) -> tf.Tensor:
    """Subtract exponentials; near 0, where digits are lost, use tanh."""
    t = tf.tanh(x / 2)
    root = tf.exp(tf.abs(x) / 2)  # exp(x) / 2 may be finite where exp(x) is not
    far = tf.sign(x) * (0.5 * root * root - 0.5 / root / root)
    return tf.where(tf.abs(x) < 1, 2 * t / (1 - t * t), far)


def cosh(x: tf.Tensor) -> tf.Tensor:
    """Add exponentials."""
    root = tf.exp(tf.abs(x) / 2)  # as in `sinh`
    return 0.5 * root * root + 0.5 / root / root


def arcsinh(x: tf.Tensor) -> tf.Tensor:
    """Use log1p, which keeps the digits near 0."""
    size = tf.abs(x)
    near = tf.minimum(size, _OVERFLOW)
    root = tf.sqrt(near * near + 1)
    result = tf.math.log1p(near + near * near / (1 + root))
    far = tf.math.log(size) + math.log(2)
    return tf.sign(x) * tf.where(size < _OVERFLOW, result, far)


def arccosh(x: tf.Tensor) -> tf.Tensor:
    """Use log1p, which keeps the digits near 1."""
    over = tf.minimum(x, _OVERFLOW) - 1
    near = tf.math.log1p(over + tf.sqrt(over) * tf.sqrt(over + 2))
    return tf.where(x > _OVERFLOW, tf.math.log(x) + math.log(2), near)


def arctanh(x: tf.Tensor) -> tf.Tensor:
    """Use log1p, which keeps the digits near 0."""
    size = tf.abs(x)
    return 0.5 * tf.sign(x) * tf.math.log1p(2 * size / (1 - size))


def erf(x: tf.Tensor) -> tf.Tensor | None:
    """Use the fraction of polynomials with which TensorFlow computes it."""
    if _is_in_gelu(x):
        return None
    z = tf.clip_by_value(x, -4.0, 4.0)
    square = z * z
    top = polynomial(square, _ERF_TOP)
    return z * top / polynomial(square, _ERF_BOTTOM)


def _is_in_gelu(x: tf.Tensor) -> bool:
    """Return whether x is what the converter expects in the formula of GELU.

    It has an operator for the whole of it.
    """
    if op_type_of(x) not in ("Mul", "RealDiv"):
        return False
    factors = [tf.get_static_value(y) for y in x.op.inputs]
    return any(
        factor is not None
        and np.size(factor) == 1
        and np.isclose(np.abs(factor), (0.5**0.5, 2**0.5)).any()
        for factor in factors
    )


def erfinv(x: tf.Tensor) -> tf.Tensor:
    """Use Giles's polynomials ("Approximating the erfinv function", 2010)."""
    w = -tf.math.log((1 - x) * (1 + x))
    central = polynomial(w - 2.5, _ERFINV_CENTRAL)
    tail = polynomial(tf.sqrt(w) - 3, _ERFINV_TAIL)
    factor = tf.where(w < 5, central, tail)
    return x * tf.where(tf.equal(tf.abs(x), 1), 1 / (1 - tf.abs(x)), factor)


def polynomial(x: tf.Tensor, coefficients: Sequence[float]) -> Any:
    """Evaluate a polynomial, given from its constant term on."""
    result: Any = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = coefficient + x * result
    return result


_ERF_TOP = (
    *(-1.60960333262415e-02, -2.95459980854025e-03, -7.34990630326855e-04),
    *(-5.69250639462346e-05, -2.10102402082508e-06, 2.77068142495902e-08),
    -2.72614225801306e-10,
)
_ERF_BOTTOM = (
    *(-1.42647390514189e-02, -7.37332916720468e-03, -1.68282697438203e-03),
    *(-2.13374055278905e-04, -1.45660718464996e-05),
)
_ERFINV_CENTRAL = (
    *(1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087),
    *(-4.39150654e-06, -3.5233877e-06, 3.43273939e-07, 2.81022636e-08),
)
_ERFINV_TAIL = (
    *(2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773),
    *(-0.00367342844, 0.00134934322, 0.000100950558, -0.000200214257),
)


def _of_floats(function: Any) -> Rewrite:
    """Return a rewrite of float32 only; TFLite computes in no wider dtype."""
    return lambda x: function(x) if x.dtype == tf.float32 else None


FUNCTIONS: dict[str, Rewrite] = {
    name: _of_floats(function)
    for name, function in {
        # The angle of a point on the half circle, or at a height.
        "Acos": lambda x: tf.atan2(tf.sqrt((1 - x) * (1 + x)), x),
        "Asin": lambda x: tf.atan2(x, tf.sqrt((1 - x) * (1 + x))),
        "Atan": lambda x: tf.atan2(x, tf.ones_like(x)),
        "Acosh": arccosh,
        "Asinh": arcsinh,
        "Atanh": arctanh,
        "Cosh": cosh,
        "Erf": erf,
        "Erfc": lambda x: None if _is_in_gelu(x) else 1 - tf.math.erf(x),
        "Erfinv": erfinv,
        "Sinh": sinh,
        "Tan": lambda x: tf.sin(x) / tf.cos(x),
    }.items()
}
"""By type of TensorFlow operation, what replaces it."""
