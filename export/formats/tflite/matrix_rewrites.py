"""Rewrites of operations on matrices that TFLite has no operator for."""

import itertools
from typing import Any

import numpy as np
import tensorflow as tf


def cross(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Multiply the components in turn."""
    after, before = [1, 2, 0], [2, 0, 1]

    def product(first: list[int], second: list[int]) -> Any:
        return tf.gather(a, first, axis=-1) * tf.gather(b, second, axis=-1)

    return product(after, before) - product(before, after)


def diagonal(
    x: tf.Tensor, k: tf.Tensor, padding: tf.Tensor
) -> tf.Tensor | None:
    """Gather one diagonal of matrices of a known size."""
    offset = tf.get_static_value(k)
    rows, columns = x.shape[-2:]
    if rows is None or columns is None or np.size(offset) != 1:
        return None
    offset = int(np.squeeze(offset))
    row, column = np.nonzero(np.eye(rows, columns, offset, dtype=bool))
    shape = tf.concat([tf.shape(x)[:-2], [rows * columns]], 0)
    values = tf.reshape(x, shape)
    values.set_shape([*x.shape[:-2], rows * columns])
    return tf.gather(values, row * columns + column, axis=-1)


def diagonal_matrix(
    x: tf.Tensor,
    k: tf.Tensor,
    rows: tf.Tensor,
    columns: tf.Tensor,
    padding: tf.Tensor,
) -> tf.Tensor | None:
    """Shift the main diagonal, the only one that TFLite can fill."""
    given = [tf.get_static_value(value) for value in (k, rows, columns)]
    offset = np.ravel(given[0])
    if given[1:] != [-1, -1] or offset.size != 1 or offset[0] == 0:
        return None
    down, right = max(0, -int(offset[0])), max(0, int(offset[0]))
    others = [[0, 0]] * (x.shape.rank - 1)
    return tf.pad(tf.linalg.diag(x), [*others, [down, right], [right, down]])


def cumulative_product(
    x: tf.Tensor,
    axis: tf.Tensor,
    *,
    exclusive: bool = False,
    reverse: bool = False,
) -> tf.Tensor | None:
    """Multiply one element after the other, as Keras does."""
    number = tf.get_static_value(axis)
    if number is None or x.shape[number] is None or exclusive or reverse:
        return None
    parts = tf.unstack(x, axis=number)
    return tf.stack(list(itertools.accumulate(parts, tf.multiply)), number)


def einsum(*operands: tf.Tensor, equation: str = "") -> tf.Tensor | None:
    """Multiply elements and add, where the converter finds no matrix product.

    It needs two operands that both have axes of their own and share one that
    is summed.
    """
    read, _, kept = equation.partition("->")
    labels = read.split(",")
    if "." in equation or len(labels) > 2:
        return None
    if len(labels) == 2:
        first, second = map(set, labels)
        summed = (first & second) - set(kept)
        if summed and first - second and second - first:
            return None
    order = kept + "".join(sorted(set(read) - {*kept, ","}))
    product: Any = None
    for names, x in zip(labels, operands, strict=True):
        for name in sorted(set(names)):
            while names.count(name) > 1:
                x, names = _on_diagonal(x, names, name)
        ranked = sorted(names, key=order.index)
        x = tf.transpose(x, [names.index(name) for name in ranked])
        for place, name in enumerate(order):
            if name not in ranked:
                x = tf.expand_dims(x, place)
        product = x if product is None else product * x
    return tf.reduce_sum(product, list(range(len(kept), len(order))))


def _on_diagonal(x: tf.Tensor, names: str, name: str) -> tuple[tf.Tensor, str]:
    """Take the elements at which the first two axes of a name are equal."""
    first = names.index(name)
    second = names.index(name, first + 1)
    others = [i for i in range(len(names)) if i not in (first, second)]
    x = tf.linalg.diag_part(tf.transpose(x, [*others, first, second]))
    return x, "".join(names[i] for i in others) + name
