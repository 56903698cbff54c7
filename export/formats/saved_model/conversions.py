"""The table of what TensorFlow computes wrongly in a graph, or not everywhere.

For a type of operation, `CONVERSIONS` has the function that computes the same
with operations that every TensorFlow gets right. Models are traced with these
functions for SavedModel only. Each function says what is wrong without it.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from keras_inception_export.formats.rewriting import Rewrite, op_type_of
from keras_inception_export.model.kernels import dilated, same_padded


def leaky_relu(x: tf.Tensor, *, alpha: float = 0.2) -> tf.Tensor | None:
    """Keep the slope, for which oneDNN takes 0.2 after a sum.

    It computes a convolution, the sum with a bias and with another tensor,
    and the activation as one operation, and forgets the slope.
    """
    if np.float32(alpha) == np.float32(0.2):
        return None
    return tf.where(x > 0, x, tf.cast(alpha, x.dtype) * x)


def tanh(x: tf.Tensor) -> tf.Tensor | None:
    """Keep x * tanh(softplus(x)), or Mish, from being one operation.

    oneDNN cannot compute it after a convolution and a sum, and TensorFlow
    fails when it runs.
    """
    if op_type_of(x) != "Softplus":
        return None
    x = x.op.inputs[0]
    return tf.tanh(tf.nn.relu(x) + tf.math.log1p(tf.exp(-tf.abs(x))))


def conv_2d_transpose(
    shape: tf.Tensor,
    kernel: tf.Tensor,
    x: tf.Tensor,
    *,
    strides: Sequence[int] = (),
    padding: str = "",
    data_format: str = "",
    dilations: Sequence[int] = (),
) -> tf.Tensor | None:
    """Put zeros between the taps of a kernel.

    TensorFlow computes a dilation with oneDNN only, and TFLite never.
    """
    if set(dilations) == {1} or data_format != "NHWC":
        return None
    kernel = dilated(kernel, dilations[1:3])
    return tf.nn.conv2d_transpose(x, kernel, shape, strides, padding)


def conv_3d(
    x: tf.Tensor,
    kernel: tf.Tensor,
    *,
    strides: Sequence[int] = (),
    padding: str = "",
    data_format: str = "",
) -> tf.Tensor | None:
    """Pad by another operation if the stride is larger than the kernel.

    TensorFlow pads as it should with oneDNN only.
    """
    if padding != "SAME" or data_format != "NDHWC":
        return None
    padded, padding = same_padded(x, kernel, strides[1:4])
    if padding == "same":
        return None
    return tf.nn.conv3d(padded, kernel, strides, padding.upper())


CONVERSIONS: dict[str, Rewrite] = {
    "Conv2DBackpropInput": conv_2d_transpose,
    "Conv3D": conv_3d,
    "LeakyRelu": leaky_relu,
    "Tanh": tanh,
}
"""By type of TensorFlow operation, what replaces it."""
