"""Control flow of Keras, in the operations that every converter has."""

from collections.abc import Callable
from typing import Any

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def switch(original: Callable) -> Callable:
    """Return a switch that is a chain of conditions.

    No converter has TensorFlow's own operation of many branches.
    """

    def chained(index: Any, branches: Any, *operands: Any) -> Any:
        index = tf.cast(index, "int32")

        def choose(number: int) -> Any:
            if number == len(branches) - 1:
                return branches[number](*operands)
            return tf.cond(
                index <= number,
                lambda: branches[number](*operands),
                lambda: choose(number + 1),
            )

        return choose(0)

    return chained


def scan(original: Callable) -> Callable:
    """Return a scan whose loop carries tensors, and writes in their order.

    Keras carries arrays of one element, which tf2onnx cannot convert.
    """

    def traceable(
        f: Callable,
        init: Any,
        xs: Any = None,
        length: int | None = None,
        reverse: bool = False,
        unroll: int | bool = 1,
    ) -> Any:
        if tf.executing_eagerly() or not keras.tree.flatten(init):
            return original(f, init, xs, length, reverse, unroll)
        init, xs = keras.tree.map_structure(tf.convert_to_tensor, (init, xs))
        count = length
        if count is None:
            first = keras.tree.flatten(xs)[0]
            count = first.shape[0] or tf.shape(first)[0]

        def step(i: Any, carry: Any, written: Any) -> Any:
            at = count - 1 - i if reverse else i
            x = keras.tree.map_structure(lambda x: x[at], xs)
            new, ys = f(carry, x)
            if new is not None:
                carry = keras.tree.map_structure(_like, new, init)
            if ys is not None:
                pairs = zip(written, keras.tree.flatten(ys), strict=True)
                written = [array.write(i, y) for array, y in pairs]
            return i + 1, carry, written

        written = [
            tf.TensorArray(x.dtype, count, element_shape=x.shape)
            for x in keras.tree.flatten(init)
        ]
        _, carry, written = tf.while_loop(
            lambda i, *_: i < count, step, (0, init, written)
        )
        stacked = [array.stack() for array in written]
        if reverse:
            stacked = [tf.reverse(y, [0]) for y in stacked]
        return carry, keras.tree.pack_sequence_as(init, stacked)

    return traceable


def _like(new: Any, old: Any) -> Any:
    """Return a tensor with all that is known of the shape of another."""
    new = tf.convert_to_tensor(new)
    new.set_shape(old.shape)
    return new
