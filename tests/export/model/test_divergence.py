"""The layer that computes something else in a copy, or each time, is named."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export.model.call_hooks import observed
from keras_inception_export.model.divergence import (
    blocking_layer,
    diverging_layer,
)
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.loading import functional
from tests.helpers.faulty_layers import Counting, Forgetful, Noisy
from tests.helpers.format_cases import feeds_of, small_model
from tests.helpers.structures import sequential


class Subclassed(keras.Model):
    factor = 1.0

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.last = layers.Dense(3), layers.Dense(2)

    def call(self, inputs):
        return self.last(self.factor * self.first(inputs))


def between(layer):
    return sequential((4,), layers.Dense(3), layer, layers.Dense(2))


def not_finalized():
    layer = layers.Normalization()
    model = sequential((4,), layer, layers.Dense(3))
    mean, variance, count, *others = model.get_weights()
    model.set_weights([mean + 1, variance * 4, count, *others])
    return model


def attribute():
    model = Subclassed()
    model(np.zeros((1, 4), "float32"))
    model.factor = 3.0
    return model


# The model, the class that differs in a copy, and the one that differs from
# call to call.
CASES = {
    "faithful": (small_model, None, None),
    "argument": (lambda: between(Forgetful(5.0)), Forgetful, None),
    "nested": (
        lambda: between(sequential((3,), Forgetful(5.0))),
        Forgetful,
        None,
    ),
    "statistics": (not_finalized, layers.Normalization, None),
    "attribute": (attribute, Subclassed, None),
    "random": (lambda: between(Noisy()), Noisy, Noisy),
    "state": (lambda: between(Counting()), Counting, Counting),
}


@pytest.mark.parametrize("name", CASES)
def test_diverging_layer(name):
    make, in_copy, in_time = CASES[name]
    live = InferenceModel.of(functional(make()))
    feeds = [feeds_of(live, 2)]
    for other, expected in ((live, in_time), (live.copy(), in_copy)):
        found = diverging_layer(live, other, feeds)
        assert (found and found.split()[-1]) == (
            expected and f"({expected.__name__})"
        )


def test_hooks_may_be_nested_and_a_layer_listed_twice():
    layer, calls = Forgetful(2.0), []

    def hook(name):
        def record(layer, call, *args, **kwargs):
            calls.append(name)
            return call(*args, **kwargs)

        return record

    with observed([layer, layer], hook("outer")):
        with observed([layer], hook("inner")):
            layer(np.ones(1))
        layer(np.ones(1))
    layer(np.ones(1))
    assert calls == ["inner", "outer", "outer"]


@pytest.mark.parametrize(
    ("index", "value", "name"),
    ((0, 0.0, "first"), (1, -1e9, "first"), (2, np.nan, "last"), (0, 1.0, "")),
)
def test_a_layer_whose_outputs_are_useless_is_named(index, value, name):
    """Its weights are zero or NaN, or its units are never active."""
    hidden = layers.Dense(3, "relu", kernel_initializer="ones", name="first")
    last = layers.Dense(2, kernel_initializer="ones", name="last")
    model = functional(sequential((4,), hidden, layers.Dropout(0.5), last))
    weights = model.get_weights()
    weights[index] = np.full_like(weights[index], value)
    model.set_weights(weights)
    feed = {"input": np.arange(12.0, dtype="float32").reshape(3, 4)}
    found = blocking_layer(InferenceModel.of(model), feed)
    assert (found or "/").split("/")[1] == (f'{name}" (Dense)' if name else "")
