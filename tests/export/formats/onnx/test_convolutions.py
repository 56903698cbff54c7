"""Every kind of convolution computes what Keras computes."""

import numpy as np
import pytest
from keras import layers

from keras_inception_export.errors import ExportError
from keras_inception_export.formats.onnx import tracing
from tests.helpers.onnx_conversions import above, errors, real


def convolution(kind, *shape, **options):
    layer = getattr(layers, kind)(**options, bias_initializer="normal")
    return real(*shape), layer


# A convolution, and the sizes of its input if they are unknown.
CONVOLUTION_CASES = {
    "groups": convolution(
        "Conv3D", 5, 6, 4, 4, filters=6, kernel_size=2, groups=2
    ),
    "dilated": convolution(
        "Conv3D",
        *(None, None, None, 4),
        filters=4,
        kernel_size=2,
        groups=2,
        dilation_rate=2,
        padding="same",
    ),
    "first": convolution(
        "Conv3D",
        *(4, 5, 6, 7),
        filters=3,
        kernel_size=2,
        data_format="channels_first",
    ),
    "depthwise": convolution(
        "DepthwiseConv1D",
        *(4, 9),
        kernel_size=3,
        depth_multiplier=2,
        data_format="channels_first",
    ),
    **{
        f"{rank}D, {padding}, stride {stride}, kernel {kernel}, {size}": (
            convolution(
                f"Conv{rank}DTranspose",
                *[size] * rank,
                3,
                filters=2,
                kernel_size=kernel,
                strides=stride,
                padding=padding,
                output_padding=extra,
            )
        )
        for rank, padding, stride, kernel, extra in (
            (1, "valid", 2, 3, 1),
            (1, "same", 3, 2, None),
            (2, "same", 16, 7, None),
            (2, "valid", 5, 2, None),
            (2, "valid", 2, 3, 1),
            (2, "same", 2, 3, 0),
            (3, "same", 3, 2, None),
            (3, "valid", 2, 3, None),
        )
        for size in (4, None)
    },
}


def with_values(given, layer):
    sizes = [size or 4 + axis for axis, size in enumerate(given.shape[1:])]
    values = np.random.default_rng(0).normal(size=(1, *sizes))
    return given, layer, values


# A sum is as exact as its largest terms: one rounding of these is 1000 units of
# the smallest values that count. Measured with random kernels: 568.
SUMS = 5000


def test_convolutions_compute_what_keras_computes(tmp_path):
    cases = {x: with_values(*y) for x, y in CONVOLUTION_CASES.items()}
    assert above(SUMS, errors(cases, tmp_path)) == {}


def test_pooling_skips_what_is_between_its_windows(tmp_path):
    cases = {}
    for kind in ("Average", "Max"):
        for rank in (1, 2, 3):
            layer = getattr(layers, f"{kind}Pooling{rank}D")
            cases[f"{kind}{rank}"] = with_values(
                real(*[None] * rank, 2), layer(2, strides=6, padding="same")
            )
    assert above(8, errors(cases, tmp_path)) == {}


def test_a_transposed_convolution_needs_its_conversion(tmp_path, monkeypatch):
    given, layer = CONVOLUTION_CASES["2D, same, stride 16, kernel 7, 4"]
    monkeypatch.setattr(tracing, "CONVERSIONS", {})
    with pytest.raises((AssertionError, ExportError)):
        found = errors({"x": (given, layer, np.ones((1, 4, 4, 3)))}, tmp_path)
        assert above(SUMS, found) == {}
