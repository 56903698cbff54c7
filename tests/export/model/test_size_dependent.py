import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_inception_export.errors import ConversionError
from keras_inception_export.model.call_hooks import observed
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.size_dependent import (
    EXACT,
    any_size,
    check_sizes,
)

SIZES = ((24, 24), (32, 40), (33, 31), (7, 50), (64, 65), (1, 3), (90, 20))


def model_of(layer, size=(None, None), channels=3):
    shape = (*size, channels)
    if getattr(layer, "data_format", None) == "channels_first":
        shape = (channels, *size)
    image = keras.Input(shape, name="image")
    return keras.Model(image, layer(image))


CASES = {
    "crop": layers.CenterCrop(32, 32),
    "crop_wide": layers.CenterCrop(8, 31),
    "random_crop": layers.RandomCrop(8, 8),
    "time_distributed": layers.TimeDistributed(layers.Conv1D(4, 3)),
    "bilinear": layers.UpSampling2D(2, interpolation="bilinear"),
    "bicubic": layers.UpSampling2D((3, 2), interpolation="bicubic"),
    "lanczos": layers.UpSampling2D((1, 2), interpolation="lanczos5"),
    "nearest": layers.UpSampling2D((1, 2)),
    "channels_first": layers.UpSampling2D(
        (3, 2), "channels_first", interpolation="bilinear"
    ),
    "crop_channels_first": layers.CenterCrop(
        9, 6, data_format="channels_first"
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_trace_computes_every_size(case):
    layer = CASES[case]
    model = model_of(layer)
    inference_model = InferenceModel.of(model)
    traced = tf.function(inference_model.call, autograph=False)
    with any_size(model):
        concrete = traced.get_concrete_function(
            tf.TensorSpec(model.input.shape)
        )
    rng = np.random.default_rng(0)
    for height, width in SIZES:
        first = getattr(layer, "data_format", None) == "channels_first"
        shape = (3, height, width) if first else (height, width, 3)
        image = rng.normal(0, 100, (2, *shape)).astype("float32")
        expected = model(image, training=False)
        (actual,) = concrete(tf.constant(image))
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-4)


def test_the_mask_of_each_step():
    words = keras.Input((None, None), name="words", dtype="int32")
    embedded = layers.Embedding(5, 3, mask_zero=True)(words)
    model = keras.Model(words, layers.TimeDistributed(layers.LSTM(2))(embedded))
    traced = tf.function(InferenceModel.of(model).call, autograph=False)
    with any_size(model):
        concrete = traced.get_concrete_function(
            tf.TensorSpec((None,) * 3, "int32")
        )
    sentences = np.random.default_rng(0).integers(0, 5, (2, 7, 4), "int32")
    (actual,) = concrete(tf.constant(sentences))
    expected = model(sentences, training=False)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)
    other = model(np.maximum(sentences, 1), training=False)
    assert np.abs(actual - other).max() > 1e-3


@pytest.mark.parametrize("size", [(None, 5), (6, None)])
def test_one_of_two_sizes_is_unknown(size):
    model = model_of(layers.CenterCrop(4, 7), size)
    traced = tf.function(InferenceModel.of(model).call, autograph=False)
    with any_size(model):
        concrete = traced.get_concrete_function(
            tf.TensorSpec(model.input.shape)
        )
    image = np.random.default_rng(0).normal(size=(2, 6, 5, 3))
    (actual,) = concrete(tf.constant(image, "float32"))
    np.testing.assert_allclose(actual, model(image), atol=1e-5)


def test_every_kind_of_layer_is_tested():
    assert {type(layer) for layer in CASES.values()} == set(EXACT)


def test_a_plain_trace_of_a_crop_is_wrong():
    model = model_of(layers.CenterCrop(32, 32))
    traced = tf.function(lambda x: model(x, training=False))
    concrete = traced.get_concrete_function(tf.TensorSpec(model.input.shape))
    assert concrete(tf.zeros((1, 24, 24, 3))).shape != (1, 32, 32, 3)


@pytest.mark.parametrize(
    "layer",
    [
        layers.AdaptiveAveragePooling2D(3, name="pool"),
        layers.AdaptiveMaxPooling2D(3, name="pool"),
    ],
)
def test_a_layer_that_needs_a_size_is_refused(layer):
    inference_model = InferenceModel.of(model_of(layer))
    traced = tf.function(inference_model.call, autograph=False)
    kind = type(layer).__name__
    expected = rf'the layer "pool" \({kind}\): .* unknown .*$'
    with (
        pytest.raises(ConversionError, match=expected),
        any_size(inference_model.model),
    ):
        traced.get_concrete_function(tf.TensorSpec((None, None, None, 3)))
    with pytest.raises(ConversionError, match=expected):
        check_sizes(inference_model.model)
    known = InferenceModel.of(model_of(layer, (9, 7)))
    check_sizes(known.model)
    assert known.call(tf.zeros((1, 9, 7, 3)))[0].shape == (1, 3, 3, 3)


def test_known_sizes_are_left_to_keras():
    layer = layers.CenterCrop(4, 4)
    model = model_of(layer)
    calls = []
    with (
        observed([layer], lambda layer, call, images: calls.append(images)),
        any_size(model),
    ):
        layer.call(np.zeros((1, 9, 9, 3)))
    assert len(calls) == 1
