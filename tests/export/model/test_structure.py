"""The structure of a network, as a report draws it."""

import keras
import pytest
from keras import layers

from keras_inception_export.model import structure
from keras_inception_layers import InceptionV1Block


def shown(steps):
    """Return steps as text: a chain with spaces, branches in brackets."""
    texts = []
    for step in steps:
        branches = [shown(branch) for branch in step.get("branches", [])]
        inner = f"[{' | '.join(branches)}]" if branches else ""
        texts.append(step.get("name", "") + inner)
    return " ".join(texts)


def chain(x):
    return layers.Dense(2, name="b")(layers.Dense(2, name="a")(x))


def divided(x):
    first = layers.Dense(2, name="a")(x)
    second = layers.Dense(3, name="c")(layers.Dense(2, name="b")(x))
    return layers.Concatenate(name="join")([first, second])


def shortcut(x):
    x = layers.Dense(3, name="a")(x)
    x = layers.Add(name="sum")([x, layers.Dense(3, name="b")(x)])
    return layers.Dense(1, name="c")(x)


def nested(x):
    x = layers.Dense(3, name="a")(x)
    inner = [layers.Dense(3, name=name)(x) for name in "bc"]
    y = layers.Add(name="inner")(inner)
    return layers.Concatenate(name="join")([x, layers.Dense(1, name="d")(y)])


def crossing(x):
    a, b = (layers.Dense(2, name=name)(x) for name in "ab")
    c = layers.Add(name="c")([a, b])
    return layers.Add(name="join")([b, c, layers.Add(name="d")([a, c])])


def heads(x):
    return [layers.Dense(2, name=name)(x) for name in "ab"]


def submodel(x):
    inner = keras.Input((3,), name="inner")
    return keras.Model(inner, chain(inner), name="sub")(x)


CASES = {
    chain: "x a b",
    divided: "x [a | b c] join",
    shortcut: "x a [ | b] sum c",
    nested: "x a [ | [b | c] inner d] join",
    crossing: "x a b c d join",
    heads: "x [a | b]",
    submodel: "x sub[inner a b]",
}


@pytest.mark.parametrize("build", CASES)
def test_structure(build):
    x = keras.Input((3,), name="x")
    found = structure.structure_of(keras.Model(x, build(x)))
    assert shown(found) == CASES[build]


def test_two_inputs():
    inputs = [keras.Input((3,), name=name) for name in "xy"]
    model = keras.Model(inputs, layers.Add(name="sum")(inputs))
    assert shown(structure.structure_of(model)) == "[x | y] sum"


def test_a_block_and_its_sizes(monkeypatch):
    x = keras.Input((8, 8, 3), name="x")
    block = InceptionV1Block(((2,), (2, 4), (2, 4), (2,)), name="block")
    model = keras.Model(x, block(x))
    _, found = structure.structure_of(model)
    assert found["shape"] == [None, 8, 8, 12]
    assert [len(branch) for branch in found["branches"]] == [1, 2, 2, 2]
    assert found["branches"][1][1]["detail"] == "4 filters, 3 x 3, relu"
    monkeypatch.setattr(structure, "MAX_STEPS", 3)
    _, found = structure.structure_of(model)
    assert [len(branch) for branch in found["branches"]] == [1, 0, 0, 0]
