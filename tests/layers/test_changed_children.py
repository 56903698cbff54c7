"""Changes to a layer's children are kept when it is saved and loaded."""

import keras
import numpy as np
import pytest

from keras_inception_layers import ConvBN, InceptionBlock, InceptionV1Block
from tests.helpers.layer_cases import FILTERS, descendants, every_case
from tests.helpers.numeric import (
    assert_equal,
    random_images,
    randomize,
    to_array,
)


def batch_norms(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]


def settings(layer):
    """Return what the tests change in each layer within a layer."""
    return [
        (child.name, child.trainable, getattr(child, "momentum", None))
        for child in descendants(layer)
    ]


def saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "model.keras")
    return keras.saving.load_model(tmp_path / "model.keras")


@every_case
def test_changed_children_of_every_layer_are_saved(case, tmp_path):
    inputs = keras.Input(case.images[1:])
    model = keras.Model(inputs, case.make(name="layer")(inputs))
    layer = model.get_layer("layer")
    original = settings(layer)
    config = keras.saving.serialize_keras_object(layer)
    assert "changed" not in config["build_config"]
    for number, child in enumerate(descendants(layer)):
        child.trainable = number % 3 > 0
    for number, norm in enumerate(batch_norms(layer)):
        norm.momentum = 0.5 + number / 100
    changed = settings(layer)
    assert changed != original
    loaded = saved_and_loaded(model, tmp_path)
    assert settings(loaded.get_layer("layer")) == changed
    weights = [weight.path for weight in model.trainable_weights]
    assert [weight.path for weight in loaded.trainable_weights] == weights


def test_a_child_can_train_in_a_frozen_layer(tmp_path):
    """Its batch normalization then still uses the statistics of the batch."""
    inputs = keras.Input((8, 8, 3))
    model = randomize(keras.Model(inputs, ConvBN(4, 3, name="conv")(inputs)))
    layer = model.get_layer("conv")
    layer.trainable = False
    images = random_images((2, 8, 8, 3))
    frozen = to_array(model(images, training=True))
    layer.batch_norm.trainable = True
    loaded = saved_and_loaded(model, tmp_path)
    expected = to_array(model(images, training=True))
    assert_equal(loaded(images, training=True), expected)
    assert np.any(expected != frozen)


# Training with frozen batch normalizations resumes where it stopped. Keras
# warns if it has to skip the state of the optimizer.
@pytest.mark.filterwarnings("error:Skipping")
def test_training_resumes_with_the_state_of_the_optimizer(tmp_path):
    blocks = [
        InceptionV1Block(FILTERS, name="block"),
        InceptionBlock([[ConvBN(4, 3)], [InceptionV1Block(FILTERS)]]),
    ]
    model = keras.Sequential([keras.Input((8, 8, 3)), *blocks])
    for norm in batch_norms(model):
        norm.trainable = False
    model.compile(keras.optimizers.Adam(), "mse")
    images = random_images((2, 8, 8, 3))
    targets = random_images((2, *model.output_shape[1:]))
    model.train_on_batch(images, targets)
    loaded = saved_and_loaded(model, tmp_path)
    assert not any(norm.trainable for norm in batch_norms(loaded))
    pairs = [
        (to_array(old), new)
        for old, new in zip(
            (*model.variables, *model.optimizer.variables),
            (*loaded.variables, *loaded.optimizer.variables),
            strict=True,
        )
    ]
    for old, new in pairs:
        assert_equal(new, old)
    assert all(np.any(to_array(x)) for x in loaded.optimizer.variables[2:4])
    for either in (model, loaded):
        either.train_on_batch(images, targets)
    # The two steps are compiled apart: they may differ by rounding.
    for old, new in zip(model.variables, loaded.variables, strict=True):
        np.testing.assert_allclose(to_array(new), to_array(old), atol=1e-4)
    changed = [np.any(to_array(new) != old) for old, new in pairs]
    assert sum(changed) >= len(model.trainable_weights)


def test_batch_norm_arguments_are_read_from_the_batch_norm():
    layer = ConvBN(4, 3, momentum=0.8)
    layer.momentum, layer.epsilon = 0.9, 1e-5
    assert layer.batch_norm.momentum == 0.9
    assert layer.batch_norm.epsilon == 1e-5
    layer.batch_norm.momentum = 0.7
    config = layer.get_config()
    assert (config["momentum"], config["epsilon"]) == (0.7, 1e-5)
    assert ConvBN.from_config(config).batch_norm.momentum == 0.7
    with pytest.raises(AttributeError):
        layer.scale = True


def test_without_batch_norm_its_arguments_are_kept_in_the_config():
    layer = ConvBN(4, 3, use_batch_norm=False, momentum=0.8, scale=True)
    layer.epsilon = 1e-5
    config = layer.get_config()
    values = [config[name] for name in ("momentum", "epsilon", "scale")]
    assert values == [0.8, 1e-5, True]
    assert ConvBN.from_config(config).get_config() == config
