"""Changes to a layer's children are kept, as those of a flat model are."""

import copy
import json
import pickle
import zipfile

import keras
import numpy as np
import pytest

from keras_inception_layers import (
    ConvBN,
    InceptionBlock,
    InceptionV1Block,
    fold_batch_norm,
)
from tests.helpers.changed_children import (
    DOCUMENTED,
    attention_model,
    batch_norms,
    changed_model,
    every_change,
    flat_model,
    freeze_some,
    ignore_warnings,
    plugin_model,
    set_momentum,
)
from tests.helpers.layer_cases import FILTERS, every_config_case, leaves
from tests.helpers.numeric import (
    assert_equal,
    random_images,
    randomize,
    to_array,
)


def loaded(model, path):
    model.save(path)
    return keras.saving.load_model(path)


def config_in_file(model, path):
    """Return the config of a model as Keras writes it to a file."""
    model.save(path / "config.keras")
    with zipfile.ZipFile(path / "config.keras") as file:
        return file.read("config.json").decode()


def with_weights_of(model, new):
    new.set_weights(model.get_weights())
    return new


def from_config(model):
    return type(model).from_config(model.get_config())


def with_weights_file(model, path):
    model.save_weights(path)
    new = from_config(model)
    new.load_weights(path)
    return new


WAYS = {
    ".keras": lambda model, path: loaded(model, path / "model.keras"),
    ".weights.h5": lambda m, path: with_weights_file(m, path / "m.weights.h5"),
    ".h5": lambda model, path: loaded(model, path / "model.h5"),
    "clone_model": lambda m, _: with_weights_of(m, keras.models.clone_model(m)),
    "from_config": lambda m, _: with_weights_of(m, from_config(m)),
    "deepcopy": lambda model, _: copy.deepcopy(model),
    "pickle": lambda model, _: pickle.loads(pickle.dumps(model)),
    "folding": lambda model, _: fold_batch_norm(model),
}


def state(model, folded=False):
    """Return what Keras serializes of each layer, as text, but for its name.

    Folding removes batch normalizations, and adds a bias to the layer before.
    """
    skipped = {"name", "use_bias"} if folded else {"name"}
    removed = batch_norms(model) if folded else []
    configs = [
        {key: x for key, x in layer.get_config().items() if key not in skipped}
        for layer in leaves(model)
        if layer not in removed
    ]
    return json.dumps(configs, default=keras.saving.serialize_keras_object)


def outcome(make, change, way, path):
    """Return "kept", "lost", or "error" for an error of Keras."""
    model = changed_model(make, change)
    try:
        new = WAYS[way](model, path)
    except (ValueError, TypeError):
        return "error"
    folded = way == "folding"
    same = state(new, folded) == state(model, folded)
    images = random_images((2, *model.input_shape[1:]))
    found, expected = (
        to_array(keras.ops.cast(x(images), "float32")) for x in (new, model)
    )
    # A mixed bfloat16 layer rounds at 4e-3.
    allowed = np.abs(expected).max() * (0.05 if "Map" in change else 1e-4)
    same = same and np.allclose(found, expected, 0, allowed)
    return "kept" if same else "lost"


every_way = pytest.mark.parametrize("way", WAYS)
# What is kept is serialized alike under every backend.
some_ways = pytest.mark.parametrize(
    "way",
    [
        pytest.param(x, marks=[] if x == ".keras" else pytest.mark.one_backend)
        for x in WAYS
    ],
)


@ignore_warnings
@every_change
@some_ways
def test_a_changed_child_is_kept_as_in_a_flat_model(change, way, tmp_path):
    for make in (plugin_model, flat_model):
        folder = tmp_path / make.__name__
        folder.mkdir()
        assert outcome(make, change, way, folder) == DOCUMENTED[change][way][0]


@pytest.mark.one_backend
@ignore_warnings
@every_change
@every_way
def test_what_keras_keeps_of_its_own_is_as_documented(change, way, tmp_path):
    expected = DOCUMENTED[change][way][1]
    assert outcome(attention_model, change, way, tmp_path) == expected


@every_config_case
def test_changed_children_of_every_layer_are_saved(case, tmp_path):
    inputs = keras.Input(case.images[1:])
    model = keras.Model(inputs, case.make(name="layer")(inputs))
    original = state(model)
    again = loaded(model, tmp_path / "model.keras")
    for either in (model, again):
        assert "changed_children" not in config_in_file(either, tmp_path)
    freeze_some(model)
    set_momentum(model)
    assert state(model) != original
    new = loaded(model, tmp_path / "model.keras")
    assert state(new) == state(model)
    weights = [weight.path for weight in model.trainable_weights]
    assert [weight.path for weight in new.trainable_weights] == weights


def test_an_edited_config_applies_to_all_children_but_changed_ones():
    block = InceptionV1Block(FILTERS)
    block.layers[0].momentum = 0.5
    config = {**block.get_config(), "momentum": 0.9}
    norms = batch_norms(InceptionV1Block.from_config(config))
    assert [x.momentum for x in norms] == [0.5, *[0.9] * 5]


def test_a_child_can_train_in_a_frozen_layer(tmp_path):
    """Its batch normalization then still uses the statistics of the batch."""
    inputs = keras.Input((8, 8, 3))
    model = randomize(keras.Model(inputs, ConvBN(4, 3, name="conv")(inputs)))
    layer = model.get_layer("conv")
    layer.trainable = False
    images = random_images((2, 8, 8, 3))
    frozen = to_array(model(images, training=True))
    layer.batch_norm.trainable = True
    new = loaded(model, tmp_path / "model.keras")
    expected = to_array(model(images, training=True))
    assert_equal(new(images, training=True), expected)
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
    new = loaded(model, tmp_path / "model.keras")
    assert not any(norm.trainable for norm in batch_norms(new))
    pairs = [
        (to_array(old), variable)
        for old, variable in zip(
            (*model.variables, *model.optimizer.variables),
            (*new.variables, *new.optimizer.variables),
            strict=True,
        )
    ]
    for old, variable in pairs:
        assert_equal(variable, old)
    assert all(np.any(to_array(x)) for x in new.optimizer.variables[2:4])
    for either in (model, new):
        either.train_on_batch(images, targets)
    # The two steps are compiled apart: they may differ by rounding.
    for old, other in zip(model.variables, new.variables, strict=True):
        np.testing.assert_allclose(to_array(other), to_array(old), atol=1e-4)
    changed = [np.any(to_array(variable) != old) for old, variable in pairs]
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
