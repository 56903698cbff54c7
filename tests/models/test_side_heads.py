"""`drop_auxiliary`: the outputs that it keeps, at any depth of nesting.

The expected outputs are those of the whole model.
"""

import keras
import pytest

from keras_inception_layers import AuxiliaryClassifier, ConvBN, drop_auxiliary
from tests.helpers.numeric import (
    assert_equal,
    perturb,
    random_images,
    randomize,
    relative_error,
)

SHAPE = (5, 5, 2)
layers = keras.layers


def image():
    return keras.Input(SHAPE, name="image")


def heads(x):
    """Return the outputs of a network with two side heads."""
    return {
        "predictions": layers.Dense(3)(layers.GlobalMaxPooling2D()(x)),
        "auxiliary_1": AuxiliaryClassifier(3, name="auxiliary_1")(x),
        "auxiliary_2": AuxiliaryClassifier(3, name="auxiliary_2")(x),
    }


def network(name="network"):
    inputs = image()
    return keras.Model(inputs, heads(ConvBN(4, 3)(inputs)), name=name)


def outer(call, name="outer"):
    """Return a model around a network; `call` is given it and an image."""
    inputs = image()
    return keras.Model(inputs, call(network(), inputs), name=name)


def deeper():
    inputs = image()
    x = layers.Rescaling(0.5)(inputs)
    return keras.Model(inputs, outer(lambda net, x: net(ConvBN(2, 1)(x)))(x))


def named(net, x):
    return {"main": net(x)["predictions"], "side": net(x)["auxiliary_1"]}


def processed(net, x):
    """Only the name of a layer tells the outputs of this model apart."""
    return {k: layers.Softmax(name=k)(y) for k, y in net(x).items()}


def fused(net, x):
    return layers.Average()(list(net(x).values()))


def fused_inside():
    inputs = image()
    x = ConvBN(4, 3)(inputs)
    sides = heads(x)
    mean = layers.Average()([sides["predictions"], sides["auxiliary_1"]])
    inner = keras.Model(inputs, {**sides, "predictions": mean})
    return keras.Model(inputs, inner(inputs))


def twice(net, x):
    """A side head that is called on another input is still one."""
    first, second = net(x), net(layers.Rescaling(0.5)(x))
    both = layers.Subtract()([first["predictions"], second["predictions"]])
    return [first["auxiliary_2"], both, [second["auxiliary_1"]]]


def in_structures(net, x):
    main, side = net(x)["predictions"], net(x)["auxiliary_1"]
    return {
        "a": {"x": main, "y": side},
        "b": [side],
        "c": [[main * 2.0], side],
        "d": (main, main + 1.0, side),
    }


def judged(net, x):
    """A model that reads a side head computes a side output."""
    scores = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    outputs = net(x)
    return [scores(outputs["predictions"]), scores(outputs["auxiliary_1"])]


# A function that makes the model, what is kept of its outputs, and how many
# side heads are left in it.
CASES = {
    "network": (network, lambda y: y["predictions"], 0),
    "nested": (
        lambda: outer(lambda net, x: net(x)),
        lambda y: y["predictions"],
        0,
    ),
    "two levels": (deeper, lambda y: y["predictions"], 0),
    "called with an argument": (
        lambda: outer(lambda net, x: net(x, training=True)),
        lambda y: y["predictions"],
        0,
    ),
    "unread heads": (
        lambda: outer(lambda net, x: {"scores": net(x)["predictions"]}),
        lambda y: y,
        0,
    ),
    "other names": (lambda: outer(named), lambda y: y["main"], 0),
    "processed": (lambda: outer(processed), lambda y: y["predictions"], 0),
    "called twice": (lambda: outer(twice), lambda y: y[1], 0),
    "structures": (
        lambda: outer(in_structures),
        lambda y: {"a": y["a"]["x"], "c": y["c"][0], "d": y["d"][:2]},
        0,
    ),
    "read by a model": (lambda: outer(judged), lambda y: y[0], 0),
    "fused": (lambda: outer(fused), lambda y: y, 2),
    "fused inside": (fused_inside, lambda y: y["predictions"], 1),
    "Sequential": (
        lambda: keras.Sequential(
            [image(), layers.Rescaling(0.5), network()], name="stack"
        ),
        lambda y: y["predictions"],
        0,
    ),
    "nested Sequential": (
        lambda: outer(
            lambda net, x: keras.Sequential([image(), net], name="stack")(x)
        ),
        lambda y: y["predictions"],
        0,
    ),
}


def side_heads(model):
    found = model._flatten_layers()
    return [x.name for x in found if isinstance(x, AuxiliaryClassifier)]


@pytest.mark.parametrize("name", CASES)
def test_the_other_outputs_are_kept(name):
    make, select, remaining = CASES[name]
    model = randomize(make())
    images = random_images((2, *SHAPE))
    before = select(model(images))
    dropped = drop_auxiliary(model)
    actual = dropped(images)
    keras.tree.assert_same_structure(actual, before)
    keras.tree.map_structure(assert_equal, actual, before)
    assert len(side_heads(dropped)) == remaining
    assert dropped.name == model.name and dropped.inputs == model.inputs
    assert drop_auxiliary(dropped) is dropped
    # The original is as it was, and shares its weights.
    keras.tree.map_structure(assert_equal, select(model(images)), before)
    assert len(model.weights) >= len(dropped.weights)
    again = keras.models.clone_model(dropped)
    again.set_weights(dropped.get_weights())
    keras.tree.map_structure(assert_equal, again(images), before)
    perturb(model.weights[0])
    error = relative_error(
        keras.tree.flatten(dropped(images))[0], keras.tree.flatten(before)[0]
    )
    assert error > 1e-6


def without_side_heads():
    inputs = image()
    x = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(2, 3)])(inputs)
    return keras.Model(inputs, [x, layers.Flatten()(x)])


def side_heads_alone():
    inputs = image()
    return keras.Model(inputs, AuxiliaryClassifier(3)(inputs))


@pytest.mark.parametrize("make", [without_side_heads, side_heads_alone])
def test_a_model_with_nothing_to_drop_is_returned(make):
    model = make()
    assert drop_auxiliary(model) is model


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.net = network()

    def call(self, inputs):
        return self.net(inputs)


REJECTED = {
    "a number": (lambda: 3, "Received: model=3. Call the network on a"),
    "a name": (lambda: "x", "Received: model='x'"),
    "a layer": (lambda: layers.Dense(3), "Received: model=<Dense"),
    "a subclassed model": (Subclassed, "Received: model=<Subclassed"),
    "an unbuilt Sequential": (
        lambda: keras.Sequential([layers.Dense(3)]),
        "a Sequential model that is built. Received: model=<Sequential",
    ),
    "a nested subclassed model": (
        lambda: keras.Model(inputs := image(), Subclassed()(inputs)),
        '"own" of class Subclassed has side heads within it, but',
    ),
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_model_that_is_not_functional_is_rejected(name):
    make, message = REJECTED[name]
    with pytest.raises(ValueError, match=message):
        drop_auxiliary(make())
