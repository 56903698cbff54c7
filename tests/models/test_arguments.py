"""The arguments of VGG16 and of the hybrid, and the values they reject."""

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_inception_layers import VGG16, GoogLeNet, VGG16Inception
from tests.helpers.numeric import (
    assert_equal,
    random_images,
    randomize,
    to_array,
)

NETWORKS = (VGG16, VGG16Inception)
every_network = pytest.mark.parametrize("network", NETWORKS)
IMAGES = (2, 32, 32, 1)


@pytest.mark.one_backend
@every_network
@pytest.mark.parametrize(
    ("options", "output_shape"),
    [
        ({}, (None, 512)),
        ({"pooling": "avg"}, (None, 512)),
        ({"pooling": None}, (None, 1, 1, 512)),
        ({"input_shape": (None, None, 3)}, (None, 512)),
        ({"input_shape": [33, None, 2], "pooling": None}, (None, 1, None, 512)),
        ({"input_shape": None, "pooling": None}, (None, None, None, 512)),
        ({"input_shape": (70, 64, 1), "pooling": None}, (None, 2, 2, 512)),
        ({"include_top": True}, (None, 1000)),
        ({"include_top": True, "classes": np.int64(7)}, (None, 7)),
    ],
    ids=str,
)
def test_output_shape(network, options, output_shape):
    options = {"include_top": False, "input_shape": IMAGES[1:], **options}
    assert network(**options).output_shape == output_shape


@pytest.mark.one_backend
@every_network
def test_defaults(network):
    model = network(include_top=False)
    assert model.input_shape == (None, 224, 224, 1)
    assert model.layers[-1].name == "global_max_pool"
    names = {VGG16: "vgg16", VGG16Inception: "vgg16_inception"}
    assert model.name == names[network]


@pytest.mark.one_backend
@every_network
def test_default_shape_follows_the_data_format(network):
    keras.config.set_image_data_format("channels_first")
    for shape, size in (
        ((224, 224, 1), 224),
        ([224, 224, 1], 224),
        ((1, 224, 224), 224),
        (None, None),
    ):
        model = network(False, input_shape=shape, pooling=None)
        assert model.input_shape == (None, 1, size, size)
        assert model.output_shape[:2] == (None, 512)
    with pytest.raises(ValueError, match=r"\(channels, .* \(224, 223, 1\)"):
        network(False, input_shape=(224, 223, 1))


@every_network
def test_pooling_is_the_maximum_or_the_mean(network):
    maps = network(False, input_shape=(None, None, 1), pooling=None)
    images = random_images((2, 70, 64, 1))
    features = to_array(randomize(maps)(images))
    for pooling, function in (("max", np.max), ("avg", np.mean)):
        model = network(False, None, None, (None, None, 1), pooling)
        model.set_weights(maps.get_weights())
        np.testing.assert_allclose(
            to_array(model(images)), function(features, axis=(1, 2)), rtol=1e-5
        )


@every_network
def test_input_tensor_can_belong_to_a_larger_graph(network):
    images = keras.Input((16, 16, 1), name="thumbnail")
    x = keras.layers.Rescaling(2.0)(images)
    x = keras.layers.UpSampling2D(2)(x)
    model = network(include_top=False, input_tensor=x)
    assert model.input is images
    plain = network(include_top=False, input_shape=IMAGES[1:])
    plain.set_weights(randomize(model).get_weights())
    thumbnails = random_images((2, 16, 16, 1))
    enlarged = 2 * thumbnails.repeat(2, axis=1).repeat(2, axis=2)
    assert_equal(model(thumbnails), plain(enlarged))


@pytest.mark.one_backend
@every_network
def test_input_tensor_can_join_several_inputs(network):
    left, right = (keras.Input(IMAGES[1:], name=x) for x in ("left", "right"))
    x = keras.layers.Concatenate()([left, right])
    model = network(include_top=False, input_tensor=x)
    assert [tensor.name for tensor in model.inputs] == ["left", "right"]
    features = model.output
    head = keras.layers.Dense(2, name="head")(features)
    assert keras.Model([left, right], head).output_shape == (None, 2)


@every_network
def test_classifier_activation_none_returns_logits(network):
    options = {"input_shape": IMAGES[1:], "classes": 5, "name": "small"}
    softmax = randomize(network(**options))
    logits = network(**options, classifier_activation=None)
    logits.set_weights(softmax.get_weights())
    images = random_images(IMAGES)
    probabilities = to_array(softmax(images))
    np.testing.assert_allclose(np.sum(probabilities, axis=-1), 1, rtol=1e-5)
    scores = np.exp(to_array(logits(images)).astype("float64"))
    np.testing.assert_allclose(
        scores / scores.sum(axis=-1, keepdims=True), probabilities, rtol=1e-4
    )
    assert logits.name == "small"


@pytest.mark.parametrize(
    ("network", "suffix", "kind"),
    [
        (VGG16, ".weights.h5", Path),
        (VGG16, ".keras", str),
        pytest.param(
            VGG16Inception, ".weights.h5", str, marks=pytest.mark.slow
        ),
        pytest.param(VGG16Inception, ".keras", Path, marks=pytest.mark.slow),
    ],
)
def test_weights_are_loaded_from_a_file(network, suffix, kind, tmp_path):
    options = {"include_top": False, "input_shape": IMAGES[1:]}
    model = randomize(network(**options))
    path = tmp_path / f"model{suffix}"
    (model.save if suffix == ".keras" else model.save_weights)(path)
    images = random_images(IMAGES)
    expected = model(images)
    loaded = network(**options, weights=kind(path))
    assert_equal(loaded(images), expected)


@pytest.mark.one_backend
@every_network
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": 32}, "Received: 32"),
        ({"input_shape": (32, 32)}, r"Received: \(32, 32\)"),
        ({"input_shape": (31, 32, 1)}, r"at least 32.* \(31, 32, 1\)"),
        ({"input_shape": (32, 32, None)}, "channels known"),
        ({"input_shape": (32, 32, 0)}, r"Received: \(32, 32, 0\)"),
        ({"input_shape": ("a", 32, 1)}, "Received: .'a', 32, 1"),
        (
            {"input_shape": (None, 32, 1), "include_top": True},
            "and known, for the dense layers",
        ),
        ({"input_tensor": np.zeros(IMAGES)}, "must be a Keras tensor"),
        ({"input_tensor": keras.Input((16, 16, 1))}, r"\(16, 16, 1\)"),
        ({"pooling": "sum"}, "Received: pooling='sum'"),
        ({"classes": 0, "include_top": True}, "Received: classes=0"),
        ({"classes": 2.5, "include_top": True}, "Received: classes=2.5"),
        ({"weights": 3}, "Received: weights=3"),
        ({"name": "a/b"}, "a/b"),
    ],
    ids=str,
)
def test_invalid_arguments_are_rejected(network, options, message):
    options = {"include_top": False, "input_shape": IMAGES[1:], **options}
    with pytest.raises(ValueError, match=message):
        network(**options)


@pytest.mark.one_backend
@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_weights_of_another_network_are_rejected(tmp_path):
    options = {"include_top": False, "input_shape": IMAGES[1:]}
    path = tmp_path / "vgg16.weights.h5"
    VGG16(**options).save_weights(path)
    with pytest.raises(ValueError, match="could not be loaded"):
        VGG16Inception(**options, weights=path)


TORCHVISION = partial(GoogLeNet, convention="torchvision")


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("network", "smallest"),
    [(VGG16Inception, 80), (GoogLeNet, 65), (TORCHVISION, 15)],
    ids=("VGG16Inception", "GoogLeNet", "torchvision"),
)
def test_side_heads_need_a_known_size(network, smallest):
    shape = (smallest, smallest, 1)
    model = network(auxiliary=True, input_shape=shape, classes=2)
    assert len(model.outputs) == 3
    with pytest.raises(ValueError, match="needs include_top=True"):
        network(auxiliary=True, include_top=False)
    for size, message in (
        (smallest - 1, rf"at least {smallest}.* \({smallest - 1}, 80, 1\)"),
        (None, r"and known, for the dense layers.* \(None, 80, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            network(auxiliary=True, input_shape=(size, 80, 1))
