"""`extract_features`: feature maps by level and by name."""

import keras
import pytest

from keras_inception_layers import GoogLeNet, VGG16Inception, extract_features
from tests.helpers.numeric import (
    perturb,
    random_images,
    randomize,
    relative_error,
)

# Relative to the largest output: the operations and their order are the same.
TOLERANCE = 1e-6


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
