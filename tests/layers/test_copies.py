"""Copies of a layer: deepcopy, pickle, clone_model, saving and loading."""

import copy
import pickle

import keras
import numpy as np
import pytest

from tests.helpers.layer_cases import (
    CASES,
    KINDS,
    cases_with,
    descendants,
    every_config_case,
    ordered,
)
from tests.helpers.numeric import (
    assert_equal,
    random_images,
    randomize,
    snapshot,
    to_array,
)


def functional(case, data_format="channels_last", **options):
    inputs = keras.Input(ordered(case.images, data_format)[1:])
    layer = case.make(data_format=data_format, name="layer", **options)
    return randomize(keras.Model(inputs, layer(inputs)))


def copied(model, path):
    """Return copies of a model: from a pickle, and from a file."""
    model.save(path)
    loaded = keras.saving.load_model(path)
    paths = [weight.path for weight in model.weights]
    assert [weight.path for weight in loaded.weights] == paths
    return pickle.loads(pickle.dumps(model)), loaded


@every_config_case
def test_copies_of_layers_and_models_have_the_weights(case, tmp_path):
    model = functional(case)
    images = random_images(case.images)
    expected = model(images)
    for other in copied(model, tmp_path / "model.keras"):
        assert_equal(other(images), expected)
    clone = keras.models.clone_model(model)
    config = model.get_layer("layer").get_config()
    assert clone.get_layer("layer").get_config() == config
    assert np.any(to_array(clone(images)) != to_array(expected))
    clone.set_weights(model.get_weights())
    assert_equal(clone(images), expected)
    # Keras pickles a layer to copy it.
    layer = copy.deepcopy(model.get_layer("layer"))
    assert_equal(layer(images), expected)
    randomize(layer, seed=2)
    assert_equal(model(images), expected)


@pytest.mark.parametrize("name", KINDS)
def test_loaded_layers_have_their_data_format(name, tmp_path):
    model = functional(CASES[name], "channels_first")
    images = random_images((2, *model.input_shape[1:]))
    expected = model(images)
    for other in copied(model, tmp_path / "model.keras"):
        assert_equal(other(images), expected)


def is_frozen(layer):
    return not layer.trainable_weights and not any(
        child.trainable for child in descendants(layer)
    )


@cases_with("by", {x: x for x in ("constructor", "setter")})
def test_a_frozen_layer_stays_frozen(case, by, tmp_path):
    if by == "constructor":
        model = functional(case, trainable=False)
    else:
        model = functional(case)
        assert len(model.trainable_weights) == case.trainable
        model.get_layer("layer").trainable = False
    assert is_frozen(model.get_layer("layer"))
    before = snapshot(model)
    model(random_images(case.images), training=True)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert_equal(new, old)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    layer = loaded.get_layer("layer")
    assert is_frozen(layer)
    assert len(layer.non_trainable_weights) == len(layer.weights)
    layer.trainable = True
    assert len(layer.trainable_weights) == case.trainable
