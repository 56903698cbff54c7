"""What the large networks share: every argument, and what it refuses."""

import keras
import numpy as np
import pytest

from keras_inception_layers import InceptionResNetV2, InceptionV4
from keras_inception_layers.models import inception_resnet_v2, inception_v4
from tests.numeric import perturb, random_images, randomize

CONVENTIONS = {
    InceptionResNetV2: inception_resnet_v2.CONVENTIONS,
    InceptionV4: inception_v4.CONVENTIONS,
}
every_network = pytest.mark.parametrize("network", CONVENTIONS)
SMALL = {"include_top": False, "input_shape": (75, 75, 1)}


@every_network
@pytest.mark.parametrize(
    ("options", "output_shape"),
    [
        ({}, (None, 1, 1, 1536)),
        ({"pooling": "max"}, (None, 1536)),
        ({"input_shape": (None, 107, 3)}, (None, None, 2, 1536)),
        ({"include_top": True, "classes": 7}, (None, 7)),
        ({"input_tensor": keras.Input((80, 75, 2))}, (None, 1, 1, 1536)),
    ],
    ids=str,
)
def test_output_shape(network, options, output_shape):
    assert network(**{**SMALL, **options}).output_shape == output_shape


@every_network
def test_defaults(network):
    keras.config.set_image_data_format("channels_first")
    model = network()
    assert model.input_shape == (None, 3, 299, 299)
    assert model.output_shape == (None, 1000)
    assert model.get_layer("dropout").rate == 0.2
    assert model.layers[-1].activation is keras.activations.softmax


@every_network
def test_conventions(network):
    for name, expected in CONVENTIONS[network].items():
        model = network(True, None, None, (75, 75, 3), convention=name)
        norms = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        found = {(norm.scale, norm.epsilon) for norm in norms}
        assert found == {(expected.scale, expected.epsilon)}
        dropped = [x for x in model.layers if x.name == "dropout"]
        assert bool(dropped) == bool(expected.dropout)


@every_network
def test_saved_and_loaded_networks_are_the_same(network, tmp_path):
    model = randomize(network(**SMALL))
    images = random_images((1, 75, 75, 1))
    expected = model(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    again = network(**SMALL, weights=tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(again(images), expected)
    perturb(again.weights[0])
    assert np.any(np.array(again(images)) != np.array(expected))


@every_network
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convention": "torch"}, 'one of "paper".*convention=.torch.'),
        ({"input_shape": (74, 75, 3)}, r"at least 75.* \(74, 75, 3\)"),
        ({"pooling": "sum"}, "Received: pooling='sum'"),
        ({"include_top": True, "classes": 0}, "Received: classes=0"),
        ({"weights": "nowhere.h5"}, "Received: weights='nowhere.h5'"),
    ],
    ids=str,
)
def test_wrong_arguments_are_refused(network, options, message):
    with pytest.raises(ValueError, match=message):
        network(**{**SMALL, **options})


def test_inception_v4_has_no_imagenet_weights():
    with pytest.raises(ValueError, match="Received: weights='imagenet'"):
        InceptionV4(**SMALL, weights="imagenet")
