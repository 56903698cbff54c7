"""`extract_features`: feature maps by level and by name."""

import keras
import pytest

from keras_inception_layers import GoogLeNet, VGG16Inception, extract_features
from tests.helpers.networks import NETWORKS
from tests.helpers.numeric import (
    perturb,
    random_images,
    randomize,
    relative_error,
)

# Relative to the largest output: the operations and their order are the same.
TOLERANCE = 1e-6
# Height and width per level, at the default size, and numbers of channels.
SIZES = {
    224: [224, 112, 56, 28, 14, 7],
    299: [None, 147, 71, 35, 17, 8],
}
CHANNELS = {
    "VGG16": (224, [64, 128, 256, 512, 512, 512]),
    "VGG16Inception": (224, [64, 128, 256, 512, 512, 512]),
    "GoogLeNet": (224, [None, 64, 192, 480, 832, 1024]),
    "InceptionV3": (299, [None, 64, 192, 288, 768, 2048]),
    "InceptionV4": (299, [None, None, None, 384, 1024, 1536]),
    "InceptionResNetV2": (299, [None, 64, 192, 320, 1088, 1536]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_levels(name):
    size, channels = CHANNELS[name]
    options = {"include_top": False, "input_shape": (size, size, 1)}
    maps = extract_features(NETWORKS[name](**options)).output
    assert {level: x.shape[1:] for level, x in maps.items()} == {
        f"P{level}": (n, n, depth)
        for level, (n, depth) in enumerate(
            zip(SIZES[size], channels, strict=True)
        )
        if depth
    }


def test_features_are_those_of_the_layers(tmp_path):
    """The model is loaded from a file, and ends in another layer."""
    network = VGG16Inception(False, input_shape=(32, 32, 1))
    classes = keras.layers.Dense(2)(network.output)
    randomize(keras.Model(network.input, classes)).save(tmp_path / "x.keras")
    model = keras.saving.load_model(tmp_path / "x.keras")
    features = extract_features(model, ["block1_pool", 2, "block4_conv1"])
    assert list(features.output) == ["block1_pool", "P2", "block4_conv1"]
    images = x = random_images((1, 32, 32, 1))
    expected = {}
    for layer in model.layers[1:]:
        x = expected[layer.name] = layer(x)
    expected["P2"] = expected["block_3_3"]
    for name, maps in features(images).items():
        assert relative_error(maps, expected[name]) < TOLERANCE
    perturb(model.get_layer("block_3_2").weights[0])
    assert relative_error(features(images)["P2"], expected["P2"]) > TOLERANCE


def test_a_network_with_side_heads_has_levels():
    model = GoogLeNet(input_shape=(65, 65, 1), classes=2, auxiliary=True)
    assert extract_features(model, (3,)).output["P3"].shape[1:] == (9, 9, 480)


@pytest.mark.parametrize(
    ("model", "layers", "message"),
    [
        ("googlenet", ["inception_3c"], 'Did you mean "inception_'),
        ("googlenet", [0], "level 0. Its levels are: 1, 2, 3, 4, 5"),
        ("other", None, '"other" are unknown'),
        ("other", [3], "levels are: none"),
        ("layer", None, "Received: model=<Dense"),
    ],
)
def test_what_a_model_does_not_have_is_rejected(model, layers, message):
    make = {
        "googlenet": lambda: GoogLeNet(False, input_shape=(32, 32, 1)),
        "other": lambda: keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(2)], name="other"
        ),
        "layer": lambda: keras.layers.Dense(2),
    }
    with pytest.raises(ValueError, match=message):
        extract_features(make[model](), layers)
