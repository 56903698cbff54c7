"""The layers' operations written out in numpy, channels last, in float64.

Weights are read from an iterator over `layer.get_weights()`, so that a test
also checks their order and, at the end, that none is left.
"""

import numpy as np


def pad_same(x, size, strides, value):
    """Pad height and width as TensorFlow does: the odd pixel at the end."""
    pads = [(0, 0)]
    for n, k, stride in zip(x.shape[1:3], size, strides, strict=True):
        total = max((-(-n // stride) - 1) * stride + k - n, 0)
        pads.append((total // 2, total - total // 2))
    return np.pad(x, [*pads, (0, 0)], constant_values=value)


def windows(x, size, strides=(1, 1)):
    """Return every window as (batch, height, width, channels, *size)."""
    view = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return view[:, :: strides[0], :: strides[1]]


def conv_bn(x, weights, size, strides=(1, 1), padding="same", epsilon=1e-3):
    """Convolve, normalize with the moving statistics, apply relu."""
    kernel, beta, mean, variance = (next(weights) for _ in range(4))
    assert kernel.shape[:2] == size
    if padding == "same":
        x = pad_same(x, size, strides, 0)
    y = np.einsum("bhwcij,ijcf->bhwf", windows(x, size, strides), kernel)
    return np.maximum((y - mean) / np.sqrt(variance + epsilon) + beta, 0)


def max_pool(x, strides=(1, 1), padding="same"):
    """Return the maximum over windows of 3 x 3."""
    if padding == "same":
        x = pad_same(x, (3, 3), strides, -np.inf)
    return windows(x, (3, 3), strides).max((-2, -1))
