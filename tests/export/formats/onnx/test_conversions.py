"""Every conversion computes what Keras computes, and tf2onnx alone does not."""

import contextlib
import re

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_inception_export.errors import ConversionError, ExportError
from keras_inception_export.formats.onnx import tracing
from keras_inception_export.formats.onnx.conversions import CONVERSIONS
from keras_inception_export.formats.onnx.export import write
from keras_inception_export.formats.onnx.runtime import open_runner
from keras_inception_export.model.inference_model import InferenceModel

INTEGERS = [[-210, -61, -60, -1, 0, 1, 7, 59, 60, 2**31 - 1, 2**31 - 2, -9]]
REALS = [[-1e4, -100.5, -2.5, -1.0, -0.0, 0.0, 0.5, 1e-6, 3, 88.5, 100, 1e4]]
INFINITE = [[-np.inf, np.inf, 0, -1.5, 2, np.inf, -np.inf, 4, 5, 6, 7, 8]]
IMAGE = np.random.default_rng(0).normal(size=(1, 7, 9, 3))


def integer(*shape, dtype="int32"):
    return keras.Input(shape or (12,), dtype=dtype, name="x")


def real(*shape):
    return keras.Input(shape or (12,), name="x")


def resizing(name, **kwargs):
    layer = layers.Resizing(5, 12, interpolation=name, **kwargs)
    return real(7, 9, 3), layer, IMAGE


SPECTROGRAM = (
    real(64),
    layers.MelSpectrogram(
        num_mel_bins=4,
        sampling_rate=1000,
        sequence_stride=4,
        fft_length=16,
    ),
    np.random.default_rng(0).normal(size=(1, 64)),
)
# Per TensorFlow operation: input, function of it, and values of the input.
ELEMENTWISE = {
    "Bitcast": (real(), ops.signbit, REALS),
    "BitwiseAnd": (real(), lambda x: ops.argmin(ops.abs(x), axis=1), REALS),
    "Bucketize": (
        real(),
        layers.Discretization([-1.0, 0.0, 0.5], output_mode="multi_hot"),
        REALS,
    ),
    "Cumprod": (real(2, 6), lambda x: ops.cumprod(x, axis=-1), REALS),
    "Erfc": (real(), lambda x: ops.gelu(x, approximate=False), REALS),
    "Expm1": (real(), ops.celu, REALS),
    "FloorDiv": (integer(), lambda x: x // 60, INTEGERS),
    "FloorMod": (integer(), lambda x: x % -60, INTEGERS),
    "Imag": SPECTROGRAM,
    "LeftShift": (integer(), lambda x: ops.left_shift(x, 35), INTEGERS),
    "Log1p": (real(), lambda x: ops.log1p(ops.abs(x)), REALS),
    "MatrixBandPart": (real(3, 4), ops.tril, INFINITE),
    "OneHot": (
        integer(),
        lambda x: ops.one_hot(x, 8, axis=1, dtype="int32"),
        INTEGERS,
    ),
    "Real": SPECTROGRAM,
    "ResizeArea": resizing("area"),
    "ResizeBicubic": resizing("bicubic"),
    "RightShift": (integer(), lambda x: ops.right_shift(x, 35), INTEGERS),
    "ScaleAndTranslate": resizing("bilinear", antialias=True),
    "SelectV2": (real(), lambda x: ops.where(x < 3, 0.0, x), INFINITE),
    "Sum": (integer(), lambda x: ops.sum(3 * x, axis=1), INTEGERS),
    "TopKV2": (integer(), lambda x: ops.top_k(-x, 12)[1], INTEGERS),
}
OTHER = {
    "Bitcast/argmax": (real(), lambda x: ops.argmax(x % 1, axis=1), REALS),
    "FloorDiv/cast": (
        real(),
        lambda x: ops.cast(ops.cast(x, "int32") // 60, "float32"),
        REALS,
    ),
    "FloorDiv/int8": (
        integer(dtype="int8"),
        lambda x: ops.floor_divide(x, ops.cast(7, "int8")),
        np.clip(INTEGERS, -128, 127),
    ),
    "FloorMod/float": (real(), lambda x: x % -3.7, REALS),
    "FloorMod/int64": (
        integer(dtype="int64"),
        lambda x: x % 7,
        INTEGERS,
    ),
    "Round": (real(), ops.round, REALS),
    "SelectV2/nan_to_num": (real(), ops.nan_to_num, INFINITE),
    "SelectV2/trunc": (real(), ops.trunc, INFINITE),
    "any": (real(), lambda x: ops.any(x > 1e3, axis=1), REALS),
    "all": (real(), lambda x: ops.all(x < 1e3, axis=1), REALS),
    "normalize": (real(), layers.UnitNormalization(), np.zeros((1, 12))),
    "softplus": (real(), ops.softplus, REALS),
    "log_sigmoid": (real(), ops.log_sigmoid, REALS),
    "masking": (
        real(4, 3),
        lambda x: layers.LSTM(2)(layers.Masking()(x)),
        INFINITE,
    ),
    "narrow": (
        integer(dtype="uint8"),
        lambda x: ops.sum(x, axis=1),
        np.clip(INTEGERS, 0, 255),
    ),
}
OTHER["masking"] = (*OTHER["masking"][:2], np.round(np.sin(REALS), 1))


def model_of(cases):
    """Return a model with an input and an output per case."""
    keras.utils.set_random_seed(1)
    inputs, outputs = {}, {}
    for name, (given, function, _) in cases.items():
        inputs[f"x_{name}"] = x = keras.Input(
            batch_shape=given.shape, dtype=given.dtype, name=f"x_{name}"
        )
        outputs[f"y_{name}"] = function(x)
    return keras.Model(inputs, outputs, name="m")


def errors(cases, path, opset=18):
    """Export cases in one model; return the largest error of each."""
    cases = {re.sub(r"\W+", "_", name): case for name, case in cases.items()}
    model = model_of(cases)
    write(InferenceModel.of(model), path / "model.onnx", opset=opset)
    runner = open_runner(path / "model.onnx", threads=1)
    feeds = {}
    for name, (given, _, values) in cases.items():
        values = np.asarray(values, given.dtype)
        if None not in given.shape[1:]:
            values = values.reshape(-1, *given.shape[1:])
        feeds[f"x_{name}"] = values
    found = dict.fromkeys(cases, 0.0)
    for times in (1, 3):
        batch = {x: np.repeat(feeds[x], times, axis=0) for x in feeds}
        outputs, actual = model(batch, training=False), runner.run(batch)
        for name in cases:
            expected = np.asarray(outputs[f"y_{name}"])
            units = error(actual[f"y_{name}"], expected)
            found[name] = max(found[name], units)
    return found


def error(actual, expected):
    """Return the largest error of an output, in units of rounding."""
    assert actual.dtype == expected.dtype
    if not np.issubdtype(actual.dtype, np.floating):
        return np.inf if np.any(actual != expected) else 0.0
    finite = np.isfinite(expected)
    if np.any(actual[~finite] != expected[~finite]):
        return np.inf
    size = np.abs(expected[finite])
    size = np.maximum(size, 1e-3 * size.max(initial=1e-30))
    difference = np.abs(actual[finite] - expected[finite])
    difference[~np.isfinite(actual[finite])] = np.inf
    return (difference / size / 2**-23).max(initial=0.0)


def above(limit, found):
    return {name: units for name, units in found.items() if not units < limit}


@pytest.mark.parametrize("opset", [13, 18])
def test_conversions_compute_what_keras_computes(opset, tmp_path):
    # The largest error measured was 60 units.
    found = errors({**ELEMENTWISE, **OTHER}, tmp_path, opset)
    assert above(500, found) == {}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_tf2onnx_alone_is_wrong_or_fails(name, tmp_path, monkeypatch):
    alone = {key: CONVERSIONS[key] for key in CONVERSIONS if key != name}
    monkeypatch.setattr(tracing, "CONVERSIONS", alone)
    with contextlib.suppress(ExportError):
        assert above(500, errors({name: ELEMENTWISE[name]}, tmp_path, 17))


def test_small_values_keep_their_digits(tmp_path):
    values = 10.0 ** -np.arange(12) * np.resize([1, -0.5], 12)
    cases = {  # one at a time: errors are relative to the largest
        f"{function.__name__}_{number}": (real(1), function, [[value]])
        for function in (ops.expm1, ops.log1p)
        for number, value in enumerate(values)
    }
    assert above(8, errors(cases, tmp_path)) == {}


def test_fourier_transforms_are_those_of_keras(tmp_path):
    values = np.random.default_rng(0).normal(size=(1, 3, 4))
    functions = {
        "fft": lambda x: ops.fft((x, 1 - x))[0],
        "fft2": lambda x: ops.concatenate(ops.fft2((x, x * x)), axis=-1),
        "ifft2": lambda x: ops.ifft2((x, x + 3))[1],
    }
    cases = {key: (real(3, 4), x, values) for key, x in functions.items()}
    assert above(500, errors(cases, tmp_path)) == {}
    with pytest.raises(ConversionError, match="Complex"):
        errors(cases, tmp_path, opset=16)


def test_every_conversion_is_tested():
    convolutions = {"BiasAdd", "Conv3D", "Conv3DBackpropInputV2"}
    tested = {*ELEMENTWISE, *convolutions, "Conv2DBackpropInput", "Select"}
    assert tested == set(CONVERSIONS)


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


def test_a_transposed_convolution_needs_its_conversion(tmp_path, monkeypatch):
    given, layer = CONVOLUTION_CASES["2D, same, stride 16, kernel 7, 4"]
    monkeypatch.setattr(tracing, "CONVERSIONS", {})
    with pytest.raises((AssertionError, ExportError)):
        found = errors({"x": (given, layer, np.ones((1, 4, 4, 3)))}, tmp_path)
        assert above(SUMS, found) == {}


@keras.saving.register_keras_serializable("test_conversions")
class Determinant(layers.Layer):
    def call(self, inputs):
        return keras.ops.slogdet(inputs)[1]


@keras.saving.register_keras_serializable("test_conversions")
class Float8(layers.Layer):
    def call(self, inputs):
        return ops.cast(ops.cast(inputs, "float8_e4m3fn"), "float32")


@pytest.mark.parametrize(
    "layer, shape, reason",
    [
        (
            layers.Resizing(3, 4, "lanczos3", name="bad"),
            (None, None, 3),
            "Translate of unknown size, which",
        ),
        (Float8(name="bad"), (3,), "computes in float8_e4m3fn"),
        (Determinant(name="bad"), (3, 3), "LogMatrixDeterminant"),
        (layers.AdaptiveMaxPooling1D(2, name="bad"), (None, 2), "unknown"),
    ],
)
def test_what_cannot_be_expressed_is_refused(layer, shape, reason, tmp_path):
    model = keras.Model(given := real(*shape), layer(given))
    with pytest.raises(ConversionError, match=reason) as refused:
        write(InferenceModel.of(model), tmp_path / "model.onnx")
    assert "bad" in str(refused.value) and "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_an_output_of_another_dtype_than_declared_is_refused(tmp_path):
    given = integer(dtype="int8")
    model = keras.Model(given, ops.mod(given, 7))
    with pytest.raises(ConversionError, match="int32, but Keras declares it"):
        write(InferenceModel.of(model), tmp_path / "model.onnx")
