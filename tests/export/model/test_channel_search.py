"""Which channels inputs move, and inputs that move more of them.

The truth is taken from models in which one channel is zero.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_inception_export.data.domain import Domain
from keras_inception_export.model.channel_search import (
    measure_coverage,
    search_inputs,
)
from keras_inception_export.model.inference_model import (
    InferenceModel,
)

SEED = 1


def dense(kernel, bias=0.0, activation="relu"):
    """Return a model of one layer with a kernel, and a sum of its outputs."""
    kernel = np.array(kernel, "float32")
    image = keras.Input((len(kernel),), name="x")
    layer = layers.Dense(kernel.shape[1], activation, name="hidden")
    total = layers.Dense(1, use_bias=False, name="total")
    model = keras.Model(image, total(layer(image)))
    layer.set_weights([kernel, np.full(kernel.shape[1], bias, "float32")])
    total.set_weights([np.ones((kernel.shape[1], 1))])
    return model


def moved(model, *rows, **facts):
    """Return the coverage of the layers by inputs, as a dict."""
    feed = {"x": np.array(rows, "float32")}
    coverage = measure_coverage(InferenceModel.of(model), [feed])
    return {layer.layer: layer for layer in coverage.layers}


@pytest.mark.parametrize(
    ("kernel", "bias", "rows", "number"),
    (
        ([[1, -1]], 0, [[1.0], [2.0]], 1),
        ([[1, -1]], 0, [[1.0], [-1.0]], 2),
        ([[1, 1e-9]], 0, [[1.0], [2.0]], 1),  # too small for any output
        ([[1, 1]], 0, [[1.0], [1.0]], 0),  # constant
        ([[0, 1]], 1, [[1.0], [2.0]], 1),  # constant, one of them
        ([[1, -1]], 0, [[np.nan], [1.0], [2.0]], 0),
    ),
)
def test_moved_channels(kernel, bias, rows, number):
    assert moved(dense(kernel, bias), *rows)["hidden"].moved == number


def test_a_channel_that_nothing_active_reads_is_not_moved():
    model = dense([[1, 1]])
    model.get_layer("total").set_weights([np.array([[1.0], [0.0]])])
    found = moved(model, [1.0], [2.0])
    assert found["hidden"].moved == 1 and found["total"].moved == 1


@pytest.mark.parametrize("axis", (1, 2))
def test_a_small_slice_along_any_axis_shows_its_channel(axis):
    """The channel changes scores, beside boxes that are far larger."""
    x = keras.Input((2,), name="x")
    hidden = layers.Dense(2, "relu", name="hidden")
    boxes = layers.Reshape((1, 3))(layers.Dense(3, name="boxes")(hidden(x)))
    score = layers.Dense(3, name="score")(hidden(x))
    outputs = layers.Concatenate(axis=1)(
        [1e6 * boxes, 1e-2 * layers.Reshape((1, 3))(score)]
    )
    if axis == 2:
        outputs = layers.Permute((2, 1))(outputs)
    model = keras.Model(x, outputs)
    hidden.set_weights([np.eye(2), np.zeros(2)])
    for name, row in (("boxes", [1.0, 0.0]), ("score", [0.0, 1.0])):
        kernel = np.tile(np.reshape(row, (2, 1)), 3)
        model.get_layer(name).set_weights([kernel, np.zeros(3)])
    found = moved(model, [1.0, 2.0], [2.0, 1.0])
    assert found["hidden"].moved == 2 and found["score"].moved == 3


def test_channels_without_weights_are_dead():
    found = moved(dense([[1, 0, -1]]), [1.0], [2.0])["hidden"]
    assert (found.channels, found.moved, found.dead) == (3, 1, 1)


def test_a_shared_layer_is_counted_once_and_within_layers():
    first, second = (keras.Input((1,), name=name) for name in "xy")
    shared = layers.Dense(2, "relu", name="shared")
    inner = keras.Sequential([keras.Input((1,)), shared], name="inner")
    total = layers.Dense(1, name="total")
    model = keras.Model(
        [first, second], total(layers.Add()([inner(first), inner(second)]))
    )
    shared.set_weights([np.array([[1.0, -1.0]]), np.zeros(2)])
    total.set_weights([np.ones((2, 1)), np.zeros(1)])
    ups = np.array([[1.0], [2.0]], "float32")
    feeds = [{"x": ups, "y": -ups}]
    coverage = measure_coverage(InferenceModel.of(model), feeds)
    assert [(x.channels, x.moved) for x in coverage.layers] == [(2, 2), (1, 1)]


@keras.saving.register_keras_serializable("tests")
class Class(layers.Layer):
    """The index of the largest value, which has no gradient."""

    def call(self, x):
        return keras.ops.argmax(x, axis=-1)


@keras.saving.register_keras_serializable("tests")
class Positions(layers.Layer):
    """Adds an embedding of positions, whose output has no samples."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = layers.Embedding(4, 2)
        self.kernel = layers.Dense(2)

    def build(self, shape):
        self.embedding.build((1, 4))
        self.kernel.build(shape)

    def call(self, x):
        return self.kernel(x) + self.embedding(np.arange(4)[None])


def test_a_layer_with_two_numbers_of_channels_is_counted_with_each():
    tokens = keras.Input((2,), name="x", dtype="int32")
    shared = layers.ReversibleEmbedding(7, 3)
    model = keras.Model(tokens, shared(shared(tokens), reverse=True))
    feed = {"x": np.int32([[0, 1], [2, 3], [4, 5], [6, 0]])}
    coverage = measure_coverage(InferenceModel.of(model), [feed])
    assert [x.channels for x in coverage.layers] == [3, 7]
    assert coverage.totals["moved"] == 10


@pytest.mark.parametrize(
    "chained",
    (
        (layers.Reshape((4, 2)), Positions()),
        (layers.Dense(3, "relu"), Class()),
        (layers.Reshape((4, 2)), layers.LSTM(3)),
        (layers.Reshape((4, 2)), layers.MultiHeadAttention(2, 2)),
        (layers.Reshape((2, 2, 2)), layers.Conv2D(3, 1, groups=1)),
        (layers.Reshape((4, 2)), layers.TimeDistributed(layers.Dense(3))),
    ),
)
def test_kinds_of_layers(chained):
    image = keras.Input((8,), name="x")
    tensor = image
    for layer in chained:
        attends = isinstance(layer, layers.MultiHeadAttention)
        tensor = layer(tensor, tensor) if attends else layer(tensor)
    rows = np.random.default_rng(0).normal(size=(30, 8))
    (layer,) = moved(keras.Model(image, tensor), *rows).values()
    assert layer.moved == layer.channels


def test_a_model_without_weights_has_no_channels():
    image = keras.Input((3,), name="x")
    inference_model = InferenceModel.of(keras.Model(image, image * 2.0))
    feeds = [{"x": np.ones((2, 3), "float32")}]
    assert measure_coverage(inference_model, feeds).layers == ()
    assert search_inputs(inference_model, feeds, {"x": Domain()}) == []


def test_a_layer_that_has_one_value_for_all_samples_is_not_counted():
    x = keras.Input((3,), name="x")
    mean = keras.ops.mean(x, axis=0, keepdims=True)
    model = keras.Model(x, x + layers.Dense(3, use_bias=False)(mean))
    feeds = [{"x": np.ones((size, 3), "float32")} for size in (1, 2)]
    coverage = measure_coverage(InferenceModel.of(model), feeds)
    assert coverage.layers == ()


def test_inputs_are_found_and_stay_in_range():
    # Each unit is active in one corner of the inputs only.
    corners = 2.0 * np.array(np.meshgrid(*[[0, 1]] * 4)).reshape(4, -1) - 1
    model = dense(corners, -(corners > 0).sum(axis=0).max() + 0.5)
    hidden = model.get_layer("hidden")
    kernel, bias = hidden.get_weights()
    hidden.set_weights([kernel, bias - (kernel > 0).sum(axis=0) + 4])
    feed = {"x": np.full((2, 4), 0.5, "float32")}
    inference_model = InferenceModel.of(model)
    before = measure_coverage(inference_model, [feed])
    found = search_inputs(inference_model, [feed], {"x": Domain()})
    after = measure_coverage(inference_model, [feed, *found])
    assert before.layers[0].moved == 0 and after.layers[0].moved == 16
    (samples,) = (batch["x"] for batch in found)
    assert len(samples) <= 16 and samples.dtype == "float32"
    assert 0 <= samples.min() and samples.max() <= 1
    again = search_inputs(InferenceModel.of(model), [feed], {"x": Domain()})
    np.testing.assert_array_equal(again[0]["x"], samples)
    assert not search_inputs(inference_model, [feed], {"x": Domain()}, 0)


class WithoutGradient(layers.Layer):
    """A layer of which this processor cannot compute the gradient."""

    def call(self, inputs):
        @tf.custom_gradient
        def identity(x):
            def fail(upstream):
                return tf.ensure_shape(tf.reshape(upstream, [-1])[:0], [7])

            return tf.identity(x), fail

        return identity(inputs)


def test_a_model_without_gradients_is_measured_and_not_searched():
    x = keras.Input((2,), name="x")
    hidden = layers.Dense(2, "relu", name="hidden")
    model = keras.Model(x, WithoutGradient()(hidden(x)))
    hidden.set_weights([np.eye(2, dtype="float32"), np.zeros(2, "float32")])
    found = moved(model, [1.0, -1.0], [0.5, -2.0])["hidden"]
    assert (found.moved, found.channels) == (1, 2)
    feeds = [{"x": np.array([[1.0, -1.0]], "float32")}]
    assert isinstance(
        search_inputs(InferenceModel.of(model), feeds, {"x": Domain()}), list
    )


def test_channels_first_is_measured_without_gradients():
    x = keras.Input((3, 5), name="x")
    conv = layers.Conv1D(2, 1, data_format="channels_first", name="conv")
    found = moved(keras.Model(x, WithoutGradient()(conv(x))), np.eye(3, 5))
    assert found["conv"].moved == 2


def test_an_output_may_be_one_number():
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.ops.mean(layers.Dense(3)(x)))
    feed = {"x": np.ones((2, 4), "float32")}
    coverage = measure_coverage(InferenceModel.of(model), [feed])
    assert coverage.summary()


class Python(layers.Layer):
    """A layer whose gradient has no shape in a trace."""

    def call(self, inputs):
        tripled = tf.py_function(lambda x: 3 * x, [inputs], inputs.dtype)
        return tf.ensure_shape(tripled, inputs.shape)


def test_a_size_that_a_trace_does_not_know():
    x = keras.Input((2,), name="x")
    model = keras.Model(x, Python()(layers.Dense(2, name="hidden")(x)))
    assert moved(model, [1.0, -1.0], [0.5, -2.0])["hidden"].moved == 2
