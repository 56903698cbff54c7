"""Layers within a block are found and frozen as those of a flat network."""

import keras
import pytest

from keras_inception_layers import (
    ConvBN,
    InceptionV1Block,
    InceptionV3,
    VGG16Inception,
    freeze,
    freeze_batch_norm,
    iter_layers,
)
from tests.helpers.layer_cases import FILTERS, leaves

pytestmark = pytest.mark.one_backend

SHAPE = {"include_top": False, "weights": None, "input_shape": (75, 75, 3)}


def make_hybrid():
    return VGG16Inception(include_top=False, input_shape=(32, 32, 1))


def trainable(model):
    return len(model.trainable_weights)


@pytest.mark.full_size
def test_recipes_leave_as_much_trainable_as_those_of_a_flat_network():
    flat = keras.applications.InceptionV3(**SHAPE)
    network = InceptionV3(**SHAPE)
    assert trainable(network) == trainable(flat) == 188
    for layer in flat.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    freeze_batch_norm(network)
    assert trainable(network) == trainable(flat) == 94
    for number, layer in enumerate(flat.layers):
        layer.trainable = number >= 249
    freeze(network, until="mixed_9")
    assert trainable(network) == trainable(flat) > 0
    freeze(network)
    assert trainable(network) == 0
    network.trainable = True
    assert trainable(network) == 188


def test_layers_are_frozen_up_to_one_within_a_block():
    model = make_hybrid()
    path = "block_5_2/branch_1_conv_1"
    freeze(model)
    freeze(model, until=path)
    first = model.trainable_weights[0].path
    assert first == f"{path}/conv/kernel"
    before = [p for p, _ in iter_layers(model)].index(path)
    for number, (name, layer) in enumerate(iter_layers(model)):
        around = path.startswith(f"{name}/")
        assert layer.trainable == (number >= before or around), name


def test_every_layer_is_found_once_by_its_path():
    inner = keras.Sequential(
        [keras.Input((8, 8, 3)), ConvBN(3, 3, name="conv")]
    )
    inputs = keras.Input((8, 8, 3))
    x = InceptionV1Block(FILTERS, name="block")(inner(inner(inputs)))
    dense = keras.layers.Dense(2, name="dense")
    x = keras.layers.TimeDistributed(dense, name="around")(x)
    model = keras.Model(inputs, x)
    paths = [path for path, _ in iter_layers(model)]
    assert len(set(paths)) == len(paths)
    assert paths.count(f"{inner.name}/conv/batch_norm") == 1
    assert "block/branch_3_conv_0/conv" in paths
    assert "around/dense" in paths
    found = {id(layer) for _, layer in iter_layers(model)}
    assert {id(layer) for layer in leaves(model)} <= found


@pytest.mark.parametrize(
    ("name", "message"),
    (
        ("mixed_8", 'has no layer of the name or path "mixed_8"'),
        ("branch_1_conv_0", r"has 6 layers \(block_3_1/branch_1_conv_0, "),
    ),
)
def test_an_unknown_or_ambiguous_name_is_refused(name, message):
    model = make_hybrid()
    with pytest.raises(ValueError, match=message):
        freeze(model, until=name)
    assert trainable(model) == trainable(make_hybrid())
