"""Channels-first convolutions under TensorFlow, on any processor.

On a CPU, TensorFlow computes an NCHW convolution only with oneDNN, and only
in the data types for which oneDNN has instructions on that processor: none
at all with `TF_ENABLE_ONEDNN_OPTS=0`, no float64, float16 on few processors.

Where one is missing, the tests compute it as an NHWC convolution between two
transpositions. Everything of this package is then still tested on channels
first; only TensorFlow's own kernel, which does not exist there, is replaced.
JAX and torch have these convolutions everywhere and are left as they are.
"""

import contextlib
from functools import cache
from unittest import mock

import keras


def channels_first_convolutions():
    """Return a context in which TensorFlow computes every NCHW convolution."""
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    original = tf.nn.convolution

    @cache
    def is_supported(dtype):
        """Return whether this processor has NCHW convolutions of a type."""
        with tf.init_scope():
            images = tf.ones((1, 2, 3, 3), dtype)
            kernel = tf.ones((3, 3, 2, 2), dtype)
            try:
                with tf.GradientTape() as tape:
                    tape.watch((images, kernel))
                    output = original(
                        images, kernel, 1, "SAME", data_format="NCHW"
                    )
                tape.gradient(output, (images, kernel))
            except (tf.errors.UnimplementedError, tf.errors.AbortedError):
                return False
        return True

    def convolution(
        input, filters, strides, padding, data_format=None, dilations=None
    ):
        arguments = (filters, strides, padding)
        if data_format != "NCHW" or is_supported(input.dtype):
            return original(input, *arguments, data_format, dilations)
        output = original(
            tf.transpose(input, (0, 2, 3, 1)), *arguments, "NHWC", dilations
        )
        return tf.transpose(output, (0, 3, 1, 2))

    return mock.patch.object(tf.nn, "convolution", convolution)
