"""Functions of Keras that every processor, or every converter, can compute.

On a CPU, TensorFlow has kernels of channels_first convolutions for some dtypes
and processors only, and none of three-dimensional pooling in float64, nor of
dilated transposed convolutions without oneDNN. Keras compiles each grouped
convolution with XLA, which in float64 takes minutes. Random numbers of a given
seed differ between dtypes.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
from keras.src.backend import core as keras_core
from keras.src.backend import nn as keras_nn
from keras.src.backend import numpy as keras_numpy
from keras.src.backend import random as keras_random

from keras_inception_export.model import control_flow

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


@contextmanager
def portable_kernels() -> Iterator[None]:
    """Replace functions of Keras's backend in a block.

    The results are the same but for rounding. Where TensorFlow has a kernel,
    it is still used. Other backends have all kernels.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    with ExitStack() as stack:
        for (module, name), replace in _REPLACEMENTS.items():
            original = getattr(module, name)
            stack.callback(setattr, module, name, original)
            setattr(module, name, replace(original))
        yield


def _channels_last(function: Callable) -> Callable:
    """Let a function compute channels_first inputs in channels_last."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def transposed(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        data_format = bound.arguments.get("data_format")
        default = keras.config.image_data_format()
        if (data_format or default) == "channels_last":
            return function(*args, **kwargs)
        inputs = bound.arguments["inputs"]
        axes = list(range(len(inputs.shape)))
        bound.arguments["data_format"] = "channels_last"
        bound.arguments["inputs"] = tf.transpose(inputs, [0, *axes[2:], 1])
        outputs = function(*bound.args, **bound.kwargs)
        return tf.transpose(outputs, [0, axes[-1], *axes[1:-1]])

    return transposed


def _convolution(original: Callable) -> Callable:
    """Return a convolution that compiles no groups with XLA to compute them.

    A traced one is left as it is, since artifacts are written from it.
    """

    def conv(
        inputs,
        kernel,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
    ):
        if tf.executing_eagerly() and padding == "same":
            inputs, padding = same_padded(inputs, kernel, strides)
        groups = inputs.shape[-1] // kernel.shape[-2]
        if groups == 1 or not tf.executing_eagerly():
            return original(
                inputs, kernel, strides, padding, data_format, dilation_rate
            )
        convolve = functools.partial(
            tf.nn.convolution,
            strides=strides,
            padding=padding.upper(),
            dilations=dilation_rate,
            # Else the gradient of a three-dimensional one fails.
            data_format=f"N{'DHW'[5 - len(inputs.shape) :]}C",
        )
        if len(inputs.shape) < 5:
            return convolve(inputs, kernel)
        parts = zip(
            tf.split(inputs, groups, -1),
            tf.split(kernel, groups, -1),
            strict=True,
        )
        return tf.concat([convolve(*part) for part in parts], -1)

    return _channels_last(conv)


def same_padded(x: Any, kernel: Any, strides: Any) -> tuple[Any, str]:
    """Return an input, and the padding that a convolution must have.

    Without oneDNN, and in float64, TensorFlow reads elsewhere in a volume of
    padding "same" if a stride is larger than the kernel.
    """
    sizes = kernel.shape[:-2]
    if len(sizes) < 3 or all(map(int.__ge__, sizes, _triple(strides))):
        return x, "same"
    pads = [[0, 0]]
    pairs = zip(sizes, _triple(strides), strict=True)
    for axis, (size, stride) in enumerate(pairs, 1):
        length = tf.shape(x)[axis]
        excess = (length - 1) // stride * stride + size - length
        excess = tf.maximum(excess, 0)
        pads.append([excess // 2, excess - excess // 2])
    return tf.pad(x, [*pads, [0, 0]]), "valid"


def _transposed_convolution(original: Callable) -> Callable:
    """Return a transposed convolution that computes any dilation.

    TensorFlow does so only with oneDNN, and not in float64. A traced one is
    left as it is.
    """

    def conv_transpose(
        inputs,
        kernel,
        strides=1,
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=1,
    ):
        if tf.executing_eagerly():
            rates = dilation_rate
            if isinstance(rates, int):
                rates = (rates,) * (len(inputs.shape) - 2)
            kernel, dilation_rate = dilated(kernel, rates), 1
        return original(
            *(inputs, kernel, strides, padding),
            *(output_padding, data_format, dilation_rate),
        )

    return _channels_last(conv_transpose)


def dilated(kernel: Any, rates: Sequence[int]) -> Any:
    """Return a kernel with zeros between its taps, which needs no dilation."""
    for axis, rate in enumerate(rates):
        before, (size, *after) = kernel.shape[:axis], kernel.shape[axis:]
        pads = [[0, 0]] * (len(kernel.shape) + 1)
        pads[axis + 1] = [0, rate - 1]
        kernel = tf.pad(tf.expand_dims(kernel, axis + 1), pads)
        kernel = tf.reshape(kernel, (*before, size * rate, *after))
        end = size * rate - rate + 1
        kernel = tf.split(kernel, [end, rate - 1], axis)[0]
    return kernel


def _pooling(original: Callable) -> Callable:
    """Return a pooling that pools three dimensions as two and one in float64.

    Both the maximum and the mean of the elements within the borders are those
    of the maxima and the means of the planes.
    """

    def pool(
        inputs, pool_size, strides=None, padding="valid", data_format=None
    ):
        if inputs.dtype != "float64" or len(inputs.shape) < 5:
            return original(inputs, pool_size, strides, padding, data_format)
        size = _triple(pool_size)
        strides = _triple(strides or pool_size)
        _, depth, *plane, channels = inputs.shape
        x = tf.reshape(inputs, (-1, *plane, channels))
        x = original(x, size[1:], strides[1:], padding, data_format)
        plane = x.shape[1:3]
        x = tf.reshape(x, (-1, depth, plane[0] * plane[1], channels))
        size, strides = (size[0], 1), (strides[0], 1)
        x = original(x, size, strides, padding, data_format)
        return tf.reshape(x, (-1, x.shape[1], *plane, channels))

    return _channels_last(pool)


def _triple(value: Any) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value)


def _addition(original: Callable) -> Callable:
    """Return an addition that adds a channels_first bias as any other tensor.

    Keras calls `tf.nn.bias_add`, which neither TFLite nor tf2onnx has for
    channels that are not the last axis.
    """

    def add(x1, x2):
        shapes = [tuple(getattr(x, "shape", ())) for x in (x1, x2)]
        if (
            len(shapes[0]) == len(shapes[1]) > 2
            and shapes[1][-1] == 1
            and shapes[1][1] not in (1, shapes[0][-1])
            and getattr(x1, "dtype", 1) == getattr(x2, "dtype", 2)
        ):
            return tf.add(x1, x2)
        return original(x1, x2)

    return add


def _draw(original: Callable) -> Callable:
    """Return a draw whose numbers in float64 are those in float32."""
    signature = inspect.signature(original)

    def draw(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        dtype = bound.arguments.get("dtype") or keras.config.floatx()
        if keras.backend.standardize_dtype(dtype) == "float64":
            bound.arguments["dtype"] = "float32"
        return tf.cast(original(*bound.args, **bound.kwargs), dtype)

    return draw


def _resizing(original: Callable) -> Callable:
    """Interpolate float64 in float64; TensorFlow computes it in float32.

    There, the place of a pixel is off by up to 1e-5 of the distance of two.
    """

    @functools.wraps(original)
    def resize(images, size, method="bilinear", antialias=False, **options):
        exact = images.dtype == tf.float64 and tf.executing_eagerly()
        if not exact or method != "bilinear" or antialias or options:
            return original(
                images, size, method=method, antialias=antialias, **options
            )
        for axis, length in enumerate(size, len(images.shape) - 3):
            given = images.shape[axis]
            index = tf.range(int(length), dtype=tf.float64)
            place = (index + 0.5) * (given / int(length)) - 0.5
            place = tf.clip_by_value(place, 0, given - 1)
            below = tf.cast(place, tf.int32)
            above = tf.minimum(below + 1, given - 1)
            part = place - tf.cast(below, tf.float64)
            shape = [1] * len(images.shape)
            shape[axis] = -1
            part = tf.reshape(part, shape)
            first = tf.gather(images, below, axis=axis)
            images = first + part * (
                tf.gather(images, above, axis=axis) - first
            )
        return images

    return resize


_REPLACEMENTS: dict[tuple[Any, str], Callable] = {
    (keras_nn, "conv"): _convolution,
    (keras_nn, "conv_transpose"): _transposed_convolution,
    (keras_nn, "depthwise_conv"): _channels_last,
    (keras_nn, "separable_conv"): _channels_last,
    (keras_nn, "max_pool"): _pooling,
    (keras_nn, "average_pool"): _pooling,
    (keras_numpy, "add"): _addition,
    (keras_random, "normal"): _draw,
    (keras_random, "truncated_normal"): _draw,
    (keras_random, "uniform"): _draw,
    (keras_core, "scan"): control_flow.scan,
    (keras_core, "switch"): control_flow.switch,
}
if keras.backend.backend() == "tensorflow":
    _REPLACEMENTS[tf.image, "resize"] = _resizing
