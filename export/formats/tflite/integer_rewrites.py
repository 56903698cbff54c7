"""Rewrites of functions of integers."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import tensorflow as tf

from keras_inception_export.formats.rewriting import Rewrite

_NARROW = (tf.int8, tf.uint8, tf.int16, tf.uint16)
"""Integers for which most operators have no kernel, or only one that expects a
quantized tensor (and aborts the process without)."""

_EXACT = 2**10  # products of int8 whose sum float32 holds


def computed_in(
    wide: tf.DType,
    dtypes: Collection[tf.DType],
    function: Callable[..., Any],
    otherwise: Rewrite | None = None,
    **attributes: Any,
) -> Rewrite:
    """Return a rewrite that computes what has one of some dtypes in another.

    Args:
        wide: the dtype in which it is computed.
        dtypes: those for which it is. The lower bits of the result are those
            of the narrow computation.
        function: takes the inputs, then the attributes.
        otherwise: the rewrite for other dtypes. Defaults to none.
        attributes: the operation's attributes, and their defaults.
    """

    def rewrite(*inputs: Any, **given: Any) -> tf.Tensor | None:
        kinds = [getattr(x, "dtype", None) for x in inputs]
        found = next((kind for kind in kinds if kind in dtypes), None)
        if found is None:
            return otherwise(*inputs) if otherwise else None
        pairs = zip(inputs, kinds, strict=True)
        cast = (tf.cast(x, wide) if k in dtypes else x for x, k in pairs)
        result = function(*cast, *given.values())
        return tf.cast(result, found) if result.dtype == wide else result

    rewrite.__kwdefaults__ = attributes
    return rewrite


in_int32 = functools.partial(computed_in, tf.int32, _NARROW)


def matmul(
    a: tf.Tensor, b: tf.Tensor, *, adj_x: bool = False, adj_y: bool = False
) -> tf.Tensor | None:
    """Multiply int8 matrices in float32, which is exact for so many terms.

    The converter has no product of integers, as of `quantize("int8")`.
    """
    axes = a.shape.rank - 1 - adj_x, b.shape.rank - 2 + adj_y
    terms = a.shape[axes[0]] or b.shape[axes[1]]
    if a.dtype != tf.int8 or b.dtype != tf.int8 or terms is None:
        return None
    sizes = [min(_EXACT, terms - i) for i in range(0, terms, _EXACT)]
    parts = (
        tf.split(tf.cast(x, tf.float32), sizes, axis)
        for x, axis in zip((a, b), axes, strict=True)
    )
    products = [
        tf.cast(tf.matmul(x, y, adj_x, adj_y), tf.int32)
        for x, y in zip(*parts, strict=True)
    ]
    return tf.add_n(products) if len(products) > 1 else products[0]


def bitwise_and(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Use x + y = (x ^ y) + 2 (x & y), on halves whose sum does not overflow.

    TFLite has of the three only the exclusive or.
    """
    if x.dtype != tf.int32:
        return None
    high = [tf.bitwise.right_shift(z, 16) for z in (x, y)]
    low = [z - 65536 * h for z, h in zip((x, y), high, strict=True)]
    both = [
        tf.bitwise.right_shift(a + b - tf.bitwise.bitwise_xor(a, b), 1)
        for a, b in (high, low)
    ]
    return 65536 * both[0] + both[1]


def bitwise_or(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Join the bits that differ and those that are set in both."""
    if x.dtype not in (*_NARROW, tf.int32):
        return None
    both = tf.bitwise.bitwise_and(x, y)
    return tf.bitwise.bitwise_xor(x, y) + both


def invert(x: tf.Tensor) -> tf.Tensor | None:
    """Use -1 - x, which inverts every bit."""
    return None if x.dtype.is_unsigned else -1 - x


def left_shift(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Multiply by a power of two, looked up in a table."""
    if x.dtype != tf.int32:
        return None
    powers = (2 ** np.arange(32, dtype="int64")).astype("int32")
    return x * tf.gather(powers, tf.clip_by_value(y, 0, 31))


def power(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor | None:
    """Multiply integers, which keeps every bit, as the kernel does not."""
    exponent = tf.get_static_value(y)
    if x.dtype.is_floating or exponent is None or np.size(exponent) != 1:
        return in_int32(tf.pow)(x, y)
    count = int(np.squeeze(exponent))
    if not 0 <= count <= 16:
        return None
    product = tf.ones_like(x + y)
    for _ in range(count):
        product *= x
    return product


def absolute(x: tf.Tensor) -> tf.Tensor | None:
    """Compute what has no kernel for integers other than int32."""
    return tf.maximum(x, -x) if x.dtype == tf.int64 else in_int32(tf.abs)(x)


def sign(x: tf.Tensor) -> tf.Tensor | None:
    """Compute what has no kernel for integers other than int32."""
    if x.dtype == tf.int64:
        return tf.cast(x > 0, x.dtype) - tf.cast(x < 0, x.dtype)
    return in_int32(tf.sign)(x)
