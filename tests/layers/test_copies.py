"""Copies of a layer: deepcopy, pickle, clone_model, saving and loading."""

import copy
import pickle

import keras
import numpy as np
import pytest

from keras_inception_layers.registration import registered_layers
from tests.helpers.layer_cases import (
    KINDS,
    descendants,
    every_case_or_kind,
    every_config_case,
    every_format,
    ordered,
)
from tests.helpers.numeric import (
    assert_equal,
    random_images,
    randomize,
    snapshot,
    to_array,
)

# Keras pickles a layer or model to copy it.
every_copy = pytest.mark.parametrize(
    "make_copy",
    [
        pytest.param(copy.deepcopy, id="deepcopy", marks=pytest.mark.slow),
        pytest.param(lambda x: pickle.loads(pickle.dumps(x)), id="pickle"),
    ],
)


def functional(case, data_format="channels_last", **options):
    inputs = keras.Input(ordered(case.images, data_format)[1:])
    layer = case.make(data_format=data_format, name="layer", **options)
    return randomize(keras.Model(inputs, layer(inputs)))


@every_copy
@every_case_or_kind
def test_copies_of_layers_and_models_have_the_weights(case, make_copy):
    model = functional(case)
    images = random_images(case.images)
    expected = model(images)
    assert_equal(make_copy(model)(images), expected)
    layer = make_copy(model.get_layer("layer"))
    assert_equal(layer(images), expected)
    randomize(layer, seed=2)
    assert_equal(model(images), expected)


@every_case_or_kind
def test_clone_model_returns_the_same_model_with_new_weights(case):
    model = functional(case)
    clone = keras.models.clone_model(model)
    config = model.get_layer("layer").get_config()
    assert clone.get_layer("layer").get_config() == config
    images = random_images(case.images)
    assert np.any(to_array(clone(images)) != to_array(model(images)))
    clone.set_weights(model.get_weights())
    assert_equal(clone(images), model(images))


@every_format(
    lambda name, data_format: data_format == "channels_last" or name in KINDS
)
def test_saved_and_loaded_layers_are_equal(case, data_format, tmp_path):
    model = functional(case, data_format)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = random_images((2, *model.input_shape[1:]))
    assert_equal(loaded(images), model(images))
    weights = [weight.path for weight in model.weights]
    assert [weight.path for weight in loaded.weights] == weights


@every_config_case
def test_build_does_not_change_the_config(case):
    layer = case.make()
    config = layer.get_config()
    layer.build(case.images)
    assert layer.get_config() == config


def test_every_layer_is_saved_under_the_package_name():
    for name, layer in registered_layers().items():
        registered = keras.saving.get_registered_name(layer)
        assert registered == f"keras_inception_layers>{name}"


def is_frozen(layer):
    return not layer.trainable_weights and not any(
        child.trainable for child in descendants(layer)
    )


@pytest.mark.parametrize("by", ["constructor", "setter"])
@every_config_case
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
