"""Every conversion computes what Keras computes, and tf2onnx alone does not."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from keras_inception_export.errors import ConversionError, ExportError
from keras_inception_export.formats.onnx import tracing
from keras_inception_export.formats.onnx.conversions import CONVERSIONS
from keras_inception_export.formats.onnx.export import write
from keras_inception_export.model.inference_model import InferenceModel
from tests.helpers.onnx_conversions import (
    Custom,
    above,
    errors,
    integer,
    real,
)

INTEGERS = [[-210, -61, -60, -1, 0, 1, 7, 59, 60, 2**31 - 1, 2**31 - 2, -9]]
REALS = [[-1e4, -100.5, -2.5, -1.0, -0.0, 0.0, 0.5, 1e-6, 3, 88.5, 100, 1e4]]
INFINITE = [[-np.inf, np.inf, 0, -1.5, 2, np.inf, -np.inf, 4, 5, 6, 7, 8]]
IMAGE = np.random.default_rng(0).normal(size=(1, 7, 9, 3))


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
MATRIX = np.random.default_rng(0).normal(size=(1, 3, 4))
SIGNED_ZEROS = [[-np.inf, np.inf, 0.0, -0.0, 2, -3, -0.0, 0.0, 1, -1, -2, 4]]
# Per TensorFlow operation: input, function of it, and values of the input.
ELEMENTWISE = {
    "Atan2": (
        real(),
        lambda x: ops.arctan2(x[:, :, None], x[:, None, :]),
        SIGNED_ZEROS,
    ),
    "Bitcast": (real(), ops.signbit, REALS),
    "BitwiseAnd": (real(), lambda x: ops.argmin(ops.abs(x), axis=1), REALS),
    "BroadcastArgs": (real(), lambda x: ops.linspace(x, 2 * x, 3), REALS),
    "Bucketize": (
        real(),
        layers.Discretization([-1.0, 0.0, 0.5], output_mode="multi_hot"),
        REALS,
    ),
    "Cross": (real(4, 3), lambda x: ops.cross(x, x[:, ::-1]), REALS),
    "Cumprod": (real(2, 6), lambda x: ops.cumprod(x, axis=-1), REALS),
    "Erfc": (real(), lambda x: ops.gelu(x, approximate=False), REALS),
    "Expm1": (real(), ops.celu, REALS),
    "FloorDiv": (integer(), lambda x: x // 60, INTEGERS),
    "FloorMod": (integer(), lambda x: x % -60, INTEGERS),
    "Imag": SPECTROGRAM,
    "LeftShift": (integer(), lambda x: ops.left_shift(x, 35), INTEGERS),
    "Log1p": (real(), lambda x: ops.log1p(ops.abs(x)), REALS),
    "LowerBound": (
        real(),
        lambda x: ops.searchsorted(ops.sort(x[0]), x[0]),
        REALS,
    ),
    "MatrixBandPart": (real(3, 4), ops.tril, INFINITE),
    "OneHot": (
        integer(),
        lambda x: ops.one_hot(x, 8, axis=1, dtype="int32"),
        INTEGERS,
    ),
    "Prod": (integer(), lambda x: ops.prod(2**9 * x + 3, axis=1), INTEGERS),
    "Real": SPECTROGRAM,
    "ResizeArea": resizing("area"),
    "ResizeBicubic": resizing("bicubic"),
    "RightShift": (integer(), lambda x: ops.right_shift(x, 35), INTEGERS),
    "Roll": (real(None), lambda x: ops.roll(x, [5], axis=[1]), REALS),
    "ScaleAndTranslate": resizing("bilinear", antialias=True),
    "SelectV2": (real(), lambda x: ops.where(x < 3, 0.0, x), INFINITE),
    "Sum": (integer(), lambda x: ops.sum(3 * x, axis=1), INTEGERS),
    "SparseSoftmaxCrossEntropyWithLogits": (
        real(),
        lambda x: ops.sparse_categorical_crossentropy(
            ops.argmin(x, axis=1), x, from_logits=True
        ),
        REALS,
    ),
    "TopKV2": (integer(), lambda x: ops.top_k(-x, 12)[1], INTEGERS),
    "UpperBound": (
        real(),
        lambda x: ops.searchsorted(ops.sort(x[0]), x[0], side="right"),
        REALS,
    ),
    "XlaDynamicUpdateSlice": (
        real(3, 4),
        lambda x: ops.slice_update(x, (0, 2, -1), 9 * x[:, :2, :3]),
        MATRIX,
    ),
}


def segments(name):
    """Return a reduction: two rows together, one left out, one alone."""
    reduce = getattr(ops, name)
    ids = ops.convert_to_tensor([2, 2, -1, 0])
    return real(4, 3), lambda x: reduce(x[0], ids, num_segments=4), REALS


SCATTERED = {
    "ScatterNd": (
        real(3, 4),
        lambda x: ops.scatter(
            ops.convert_to_tensor([[2], [0], [2]]), x[0], (4, 4)
        ),
        MATRIX,
    ),
    "UnsortedSegmentMax": segments("segment_max"),
    "UnsortedSegmentMin": segments("segment_min"),
    "UnsortedSegmentProd": segments("segment_prod"),
    "UnsortedSegmentSum": segments("segment_sum"),
}
"""What older operator sets cannot express."""
OTHER = {
    "Cast/bool": (
        integer(),
        lambda x: ops.cast(ops.cast(256 * x, "int8"), "bool"),
        INTEGERS,
    ),
    "Cast/float16": (
        real(),
        Custom(lambda x: ops.cast(ops.cast(1.01 * x, "float16"), "float32")),
        REALS,
    ),
    "Bitcast/argmax": (real(), lambda x: ops.argmax(x % 1, axis=1), REALS),
    "FloorDiv/cast": (
        real(),
        lambda x: ops.cast(ops.cast(x, "int32") // 60, "float32"),
        REALS,
    ),
    "FloorDiv/float": (real(), lambda x: x // 60, REALS),
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
    "scan": (
        real(3, 4),
        Custom(
            lambda x: ops.scan(
                lambda carry, row: (0.5 * carry + row, carry - row),
                0 * x[:, 0],
                ops.transpose(x, (1, 0, 2)),
                reverse=True,
            )[1]
        ),
        MATRIX,
    ),
    "switch": (
        real(3, 4),
        Custom(
            lambda x: ops.switch(
                ops.cast(ops.max(x), "int32"), [ops.exp, ops.abs, ops.sin], x
            )
        ),
        MATRIX,
    ),
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


@pytest.mark.parametrize("opset", [13, 18])
def test_conversions_compute_what_keras_computes(opset, tmp_path):
    # The largest error measured was 60 units.
    found = errors({**ELEMENTWISE, **OTHER}, tmp_path, opset)
    assert above(500, found) == {}


@pytest.mark.parametrize("name", [*ELEMENTWISE, *SCATTERED])
def test_tf2onnx_alone_is_wrong_or_fails(name, tmp_path, monkeypatch):
    alone = {key: CONVERSIONS[key] for key in CONVERSIONS if key != name}
    monkeypatch.setattr(tracing, "CONVERSIONS", alone)
    case = {**ELEMENTWISE, **SCATTERED}[name]
    with contextlib.suppress(ExportError, Fail):
        assert above(500, errors({name: case}, tmp_path, 17))


def test_what_is_written_to_the_same_place_is_added(tmp_path):
    assert above(500, errors(SCATTERED, tmp_path)) == {}
    case = {"scatter": SCATTERED["ScatterNd"]}
    with pytest.raises(ConversionError, match="ScatterNd before opset 16"):
        errors(case, tmp_path, opset=15)


def test_an_error_of_tf2onnx_names_the_layer(tmp_path, monkeypatch):
    def fail(graph, **kwargs):
        name = next(x.name for x in graph.get_nodes() if "bad" in x.name)
        raise ValueError(f"Cannot find node with output '{name}:0'")

    monkeypatch.setattr(tracing.optimizer, "optimize_graph", fail)
    model = keras.Model(x := real(), layers.ReLU(name="bad")(x), name="m")
    with pytest.raises(ConversionError, match="layer 'bad': Cannot find node"):
        write(InferenceModel.of(model), tmp_path / "model.onnx")


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
    tested = {*ELEMENTWISE, *SCATTERED, *convolutions}
    tested |= {"AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D"}
    tested |= {"Conv2DBackpropInput", "Select"}
    assert tested == set(CONVERSIONS)


@keras.saving.register_keras_serializable("test_conversions")
class Determinant(layers.Layer):
    def call(self, inputs):
        return keras.ops.slogdet(inputs)[1]


@keras.saving.register_keras_serializable("test_conversions")
class Rounded(layers.Layer):
    def __init__(self, to, name):
        super().__init__(name=name)
        self.to = to

    def call(self, inputs):
        return ops.cast(ops.cast(inputs, self.to), "float32")


def wrapped(layer, *shape):
    """Wrap a layer in a model in a layer; Keras builds the model first."""
    model = keras.Sequential([layers.Input(shape), layer], name="in")
    return layers.TimeDistributed(model, name="around")


@pytest.mark.parametrize(
    "layer, shape, reason",
    [
        (
            layers.Resizing(3, 4, "lanczos3", name="bad"),
            (None, None, 3),
            "Translate of unknown size, which",
        ),
        (Rounded("float8_e4m3fn", "bad"), (3,), "computes in float8_e4m3fn"),
        (Rounded("bfloat16", "bad"), (3,), "computes in bfloat16"),
        (Determinant(name="bad"), (3, 3), "LogMatrixDeterminant"),
        (layers.AdaptiveMaxPooling1D(2, name="bad"), (None, 2), "unknown"),
        (
            wrapped(layers.AdaptiveMaxPooling1D(2, name="bad"), None, 2),
            (3, None, 2),
            'layer "around/in/bad".* unknown',
        ),
        (
            wrapped(Determinant(name="bad"), 3, 3),
            (None, 3, 3),
            "layer 'around/in/bad' computes LogMatrix",
        ),
    ],
)
def test_what_cannot_be_expressed_is_refused(
    layer, shape, reason, tmp_path, caplog, capsys
):
    # What a SavedModel that was loaded before leaves behind.
    left_behind = tf.compat.v1.get_default_graph()
    left_behind.add_to_collection("table_initializer", None)
    model = keras.Model(given := real(*shape), layer(given))
    with pytest.raises(ConversionError, match=reason) as refused:
        write(InferenceModel.of(model), tmp_path / "model.onnx")
    left_behind.clear_collection("table_initializer")
    assert "bad" in str(refused.value) and "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())
    # Nothing that tf2onnx and TensorFlow log is shown.
    assert not caplog.records
    assert capsys.readouterr() == ("", "")
