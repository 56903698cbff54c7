"""The float64 reference is the user's model, whatever its layers are."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_inception_export import RequestError
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.loading import functional
from keras_inception_export.model.reference import (
    float32_outputs,
    float64_outputs,
)
from tests.helpers.format_cases import dictionaries, feeds_of, small_model
from tests.helpers.numeric import randomize
from tests.helpers.structures import (
    Around,
    CastConstant,
    FixedDtype,
    called_twice,
    sequential,
)

FIRST = {"data_format": "channels_first"}


class RoundsInside(layers.Layer):
    """It returns float64 numbers of float32, as RMS normalization may."""

    def call(self, inputs):
        x = ops.cast(inputs, "float32")
        return ops.cast(x / 3, self.compute_dtype)


class RoundsToIntegers(layers.Layer):
    def call(self, inputs):
        return ops.round(inputs)


def mixed():
    vector = keras.Input((4,))
    dense = layers.Dense(4, dtype="mixed_float16")
    return keras.Model(vector, layers.Dense(3)(dense(vector) * 2))


def cast_in_the_graph():
    vector = keras.Input((4,))
    x = layers.Dense(3)(ops.cast(vector, "float32"))
    return keras.Model(vector, ops.cast(x, "float32") / 3)


# A function that makes the model, and the classes of the layers that cannot be
# computed in float64.
CASES = {
    "small": (small_model, []),
    "dictionaries": (dictionaries, []),
    "nested": (called_twice, []),
    "mixed": (mixed, []),
    "cast in the graph": (cast_in_the_graph, []),
    "fixed dtype": (
        lambda: sequential((4,), layers.Dense(3), FixedDtype()),
        [FixedDtype],
    ),
    "cast constant": (lambda: sequential((3,), CastConstant()), [CastConstant]),
    "inner layer of fixed dtype": (
        lambda: sequential((3,), Around()),
        [FixedDtype],
    ),
    "rounds inside": (
        lambda: sequential(
            (4,), layers.Dense(3), RoundsInside(), layers.Dense(2)
        ),
        [RoundsInside],
    ),
    "rounds to integers": (
        lambda: sequential((4,), layers.Dense(3), RoundsToIntegers()),
        [],
    ),
    "spectrogram": (
        lambda: sequential(
            (512,), layers.MelSpectrogram(fft_length=128, sequence_stride=64)
        ),
        [layers.MelSpectrogram],
    ),
    "max pooling": (
        lambda: sequential((5, 6, 7, 2), layers.MaxPooling3D(2, 3, "same")),
        [],
    ),
    "average pooling": (
        lambda: sequential(
            (5, 6, 7, 2), layers.AveragePooling3D((2, 3, 2), 1, "same")
        ),
        [],
    ),
    "grouped": (
        lambda: sequential(
            (9, 9, 4), layers.Conv2D(6, 3, 2, groups=2, padding="same")
        ),
        [],
    ),
    "grouped, three dimensions": (
        lambda: sequential((5, 5, 5, 4), layers.Conv3D(6, 3, groups=2)),
        [],
    ),
    "strides larger than the kernel": (
        lambda: sequential(
            (4, 6, 7, 2), layers.Conv3D(3, (2, 1, 3), 3, padding="same")
        ),
        [],
    ),
    "dilated, transposed": (
        lambda: sequential(
            (5, 6, 3),
            layers.Conv2DTranspose(2, (2, 3), dilation_rate=(3, 2)),
            layers.Conv2DTranspose(3, 2, padding="same", dilation_rate=2),
        ),
        [],
    ),
    "channels_first": (
        lambda: sequential(
            (3, 8, 9),
            layers.Conv2D(4, 3, groups=1, strides=2, **FIRST),
            layers.DepthwiseConv2D(2, **FIRST),
            layers.Conv2DTranspose(2, 3, strides=2, **FIRST),
            layers.SeparableConv2D(4, 3, **FIRST),
            layers.MaxPooling2D(2, **FIRST),
        ),
        [],
    ),
    "channels_first, three dimensions": (
        lambda: sequential(
            (2, 5, 5, 5),
            layers.Conv3D(4, 2, **FIRST),
            layers.AveragePooling3D(2, **FIRST),
        ),
        [],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_reference(name):
    make, float32_layers = CASES[name]
    model = randomize(make())
    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs[0], model.outputs[0])
    live = InferenceModel.of(model)
    feeds = [feeds_of(live, 2)]
    before = settings(model)

    (reference,), in_float32 = float64_outputs(model, feeds)
    (single,) = float32_outputs(live, feeds)

    assert [x.split()[-1] for x in in_float32] == [
        f"({layer.__name__})" for layer in float32_layers
    ]
    for key, exact in reference.items():
        scale = np.abs(exact).max()
        assert exact.dtype == "float64"
        assert np.abs(exact - single[key]).max() < 3e-6 * scale
        # Nothing was rounded to float32 on the way: only then is the output
        # not a float32 number.
        rounded = np.abs(exact - exact.astype("float32")).max()
        assert bool(rounded) == (name not in ROUNDED)
    assert settings(model) == before


ROUNDED = {
    "fixed dtype",
    "cast constant",
    "max pooling",
    "rounds to integers",
    "spectrogram",
}
"""The last layer rounds, or it is a maximum of the inputs."""


def settings(model):
    return [
        (layer.dtype_policy.name, "call" in vars(layer))
        for layer in model._flatten_layers()
    ] + [x.dtype for x in model.inputs]


@pytest.mark.parametrize("pooling", ("max_pool", "average_pool"))
@pytest.mark.parametrize("padding", ("same", "valid"))
def test_pooling_of_three_dimensions(pooling, padding):
    """Equal to TensorFlow's own kernel, which exists in float32."""
    layer = {
        "max_pool": layers.MaxPooling3D,
        "average_pool": layers.AveragePooling3D,
    }[pooling]((2, 3, 2), (1, 2, 3), padding)
    model = sequential((5, 6, 7, 2), layer)
    model = keras.Model(model.inputs[0], model.outputs[0])
    images = np.random.default_rng(0).normal(size=(2, 5, 6, 7, 2))
    images = images.astype("float32")
    (exact,), _ = float64_outputs(model, [{"input": images}])
    (actual,) = exact.values()
    np.testing.assert_allclose(actual, layer(images), rtol=1e-5, atol=1e-6)
    assert np.abs(actual - layer(images[:, ::-1])).max() > 1e-5


class Broken(layers.Layer):
    def call(self, inputs):
        if tf.executing_eagerly():
            raise ValueError("out of order")
        return inputs


@pytest.mark.parametrize("dtype", ("float32", "float64"))
def test_the_layer_that_fails_is_named(dtype):
    vector = keras.Input((4,))
    inner = keras.Model(vector, Broken(name="bad")(vector), name="in")
    model = keras.Model(vector, layers.Dense(2)(inner(vector)))
    feeds = [{"input": np.ones((1, 4), "float32")}]
    with pytest.raises(RequestError, match=r'"in/bad" \(Broken\): out of'):
        if dtype == "float64":
            float64_outputs(model, feeds)
        else:
            float32_outputs(InferenceModel.of(model), feeds)


class FixedNoise(layers.Layer):
    """It adds the same random numbers in each call."""

    def call(self, inputs):
        draws = keras.random.normal, keras.random.uniform
        first, second = (draw((4,), seed=1) for draw in draws)
        return inputs + first * second


def test_random_numbers_of_a_given_seed_are_those_of_float32():
    model = InferenceModel.of(functional(sequential((4,), FixedNoise())))
    feed = {"input": np.float32([[0, 1, 2, 3]])}
    (expected,) = float32_outputs(model, [feed])
    (found,), _ = float64_outputs(model.model, [feed])
    np.testing.assert_allclose(found["output"], expected["output"], rtol=1e-6)


def test_images_are_interpolated_in_float64():
    images = np.random.default_rng(0).normal(size=(2, 96, 7, 3))
    images = images.astype("float32")
    model = keras.Sequential([keras.Input((96, 7, 3)), layers.Resizing(9, 5)])
    model = InferenceModel.of(functional(model))
    feed = {model.inputs[0].name: images}
    (found,), in_float32 = float64_outputs(model.model, [feed])
    expected = images.astype("float64")
    for axis, length in ((1, 9), (2, 5)):
        given = images.shape[axis]
        place = (np.arange(length) + 0.5) * given / length - 0.5
        weights = np.maximum(1 - np.abs(place[:, None] - np.arange(given)), 0)
        expected = np.moveaxis(
            np.tensordot(weights, expected, (1, axis)), 0, axis
        )
    np.testing.assert_allclose(*found.values(), expected, atol=1e-12)
    assert not in_float32
    (rounded,) = float32_outputs(model, [feed])
    (rounded,) = rounded.values()
    assert np.abs(rounded - expected).max() > 1e-7
