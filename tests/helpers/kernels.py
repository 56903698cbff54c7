"""Kernels of TensorFlow that not every processor has, computed otherwise.

On a CPU, TensorFlow computes an NCHW convolution only with oneDNN, and only
in the data types for which oneDNN has instructions on that processor: none
at all with `TF_ENABLE_ONEDNN_OPTS=0`, no float64, float16 on few processors.
Where one is missing, the tests compute it as an NHWC convolution between two
transpositions. Everything of this package is then still tested on channels
first; only TensorFlow's own kernel, which does not exist there, is replaced.
Transposed convolutions with a dilation also need oneDNN: the tests compute them
with a kernel that contains the zeros.

`ONEDNN_MAX_CPU_ISA` makes oneDNN ignore instructions, but TensorFlow asks the
processor itself: it calls bfloat16 kernels that oneDNN then does not have, and
fails or crashes. With that variable, the tests compute them in float32. On a
processor that really lacks the instructions, TensorFlow has kernels of its own.

JAX and torch have all of these everywhere and are left as they are.
"""

import contextlib
import os
from functools import cache
from unittest import mock

import keras
import numpy as np

BFLOAT16 = {
    *("mat_mul", "batch_mat_mul_v2", "batch_mat_mul_v3", "conv2d"),
    *("conv2d_backprop_input", "conv2d_backprop_filter"),
}
"""Operations for which TensorFlow calls oneDNN in bfloat16."""


@contextlib.contextmanager
def every_kernel():
    """Yield while TensorFlow computes what the processor has no kernels for."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.python.ops import gen_math_ops, gen_nn_ops

    with contextlib.ExitStack() as stack:
        stack.enter_context(_channels_first_convolutions())
        if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
            stack.enter_context(_dilated_transposed_convolutions())
        if "ONEDNN_MAX_CPU_ISA" in os.environ:
            for module in (gen_math_ops, gen_nn_ops):
                for name in BFLOAT16 & vars(module).keys():
                    stack.enter_context(_in_float32(module, name))
        yield


def _in_float32(module, name):
    """Return a context in which an operation on bfloat16 is one on float32."""
    import tensorflow as tf

    original = getattr(module, name)

    def is_bfloat16(value):
        return getattr(value, "dtype", None) == tf.bfloat16

    def widened(value):
        return tf.cast(value, tf.float32) if is_bfloat16(value) else value

    def computed(*arguments, **options):
        if not any(map(is_bfloat16, (*arguments, *options.values()))):
            return original(*arguments, **options)
        arguments = map(widened, arguments)
        options = {name: widened(value) for name, value in options.items()}
        return tf.cast(original(*arguments, **options), tf.bfloat16)

    return mock.patch.object(module, name, computed)


def _dilated_transposed_convolutions():
    """Return a context in which TensorFlow dilates a kernel without oneDNN."""
    import tensorflow as tf

    original = tf.nn.conv_transpose

    def conv_transpose(input, filters, *arguments, dilations, **options):
        *sizes, outputs, channels = filters.shape
        rates = np.broadcast_to(dilations, len(sizes))
        if max(rates) > 1 and tf.executing_eagerly():
            sizes = (np.array(sizes) - 1) * rates + 1
            taps = np.asarray(filters)
            filters = np.zeros((*sizes, outputs, channels), taps.dtype)
            filters[tuple(slice(None, None, rate) for rate in rates)] = taps
            dilations = None
        return original(
            input, filters, *arguments, dilations=dilations, **options
        )

    return mock.patch.object(tf.nn, "conv_transpose", conv_transpose)


def _channels_first_convolutions():
    """Return a context in which TensorFlow computes every NCHW convolution."""
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
