"""The domain of each input follows from what consumes it, wherever it is."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.input_ranges import input_domains

CLAHE = layers.ContrastLimitedAdaptiveHistogramEqualization
IMAGE = (8, 8, 3)


@keras.saving.register_keras_serializable("tests")
class Tokens(layers.Layer):
    """An embedding behind a cast, within another layer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = layers.Embedding(7, 4)

    def call(self, x):
        return self.embedding(ops.cast(x, "int32") - 1)


@keras.saving.register_keras_serializable("tests")
class Centred(layers.Layer):
    """Colours in another order, minus their means."""

    def call(self, x):
        return x[..., ::-1] - np.array([50, 60, 70], "float32")


def chain(shape, *chained, dtype="float32", name="x"):
    tensor = image = keras.Input(shape, dtype=dtype, name=name)
    for layer in chained:
        tensor = layer(tensor)
    return keras.Model(image, tensor)


def convolution():
    return layers.Conv2D(2, 3)


def nested():
    inner = chain(IMAGE, layers.Rescaling(1 / 127.5, -1), convolution())
    outer = keras.Sequential([keras.Input(IMAGE), layers.Resizing(8, 8)])
    return chain(IMAGE, outer, layers.Cropping2D(), inner)


def normalized(*before):
    statistics = {"mean": [1.0, 2.0, 0.0], "variance": [0.25, 1.0, 4.0]}
    return chain(IMAGE, *before, layers.Normalization(**statistics))


def batch_normalized():
    layer = layers.BatchNormalization(center=False, scale=False)
    model = chain((3,), layer)
    layer.set_weights([np.array([1.0, 2.0, 0.0]), np.array([0.25, 1.0, 4.0])])
    return model


def table():
    """Return a model with another kind of feature in each column."""
    row = keras.Input((4,), name="x")
    city = layers.Embedding(11, 3)(row[:, 0])
    bin_ = layers.Discretization([0.0, 10.0], output_mode="one_hot")(
        row[:, 1:2]
    )
    scaled = layers.Normalization(mean=[5.0, 0.0], variance=[4.0, 1.0])(
        row[:, 2:]
    )
    return keras.Model(row, layers.Concatenate()([city, bin_, scaled]))


def positions():
    ids = keras.Input((6,), dtype="int32", name="x")
    places = keras.Input((6,), dtype="int32", name="places")
    tokens = layers.Embedding(9, 4, mask_zero=True)(ids)
    return keras.Model(
        {"x": ids, "places": places},
        layers.LSTM(2)(tokens + layers.Embedding(6, 4)(places)),
    )


def computed(function, dtype="int32"):
    tensor = keras.Input((4,), dtype=dtype, name="x")
    return keras.Model(tensor, function(tensor))


class Reversed(layers.Layer):
    """Reverses the gradient, as domain-adversarial networks do."""

    def call(self, inputs):
        identity = tf.custom_gradient(lambda x: (tf.identity(x), tf.negative))
        return identity(inputs)


ANY = {"integers": False, "bounded": False}
BOUND = {"integers": True, "bounded": True}
WHOLE = {"integers": True, "bounded": False}
CASES = {
    "image": (chain(IMAGE, convolution()), 0, 1, ANY),
    "scaled up": (chain(IMAGE, layers.Rescaling(9.0)), 0, 1, ANY),
    "1/255": (chain(IMAGE, layers.Rescaling(1 / 255)), 0, 255, ANY),
    "uint8": (
        chain(IMAGE, layers.Rescaling(1 / 255), dtype="uint8"),
        *(0, 255, BOUND),
    ),
    "1/255, custom gradient": (
        chain(IMAGE, Reversed(), layers.Rescaling(1 / 255)),
        *(0, 255, ANY),
    ),
    "1/127.5, -1": (nested(), 0, 255, ANY),
    "2, -1": (chain(IMAGE, layers.Rescaling(2.0, -1.0)), 0, 1, ANY),
    "means": (chain(IMAGE, Centred()), 0, [140, 120, 100], ANY),
    "normalization": (normalized(), [0, 0, -4], [2, 4, 4], ANY),
    "1/10, normalization": (
        normalized(layers.Rescaling(0.1)),
        *([0, 0, -40], [20, 40, 40], ANY),
    ),
    "batch norm": (batch_normalized(), [0, 0, -4], [2, 4, 4], ANY),
    "CLAHE": (chain((16, 16, 3), CLAHE()), 0, 255, ANY),
    "contrast": (
        chain(IMAGE, layers.AutoContrast(value_range=(0, 1))),
        *(0, 1, ANY),
    ),
    "brightness": (
        chain(IMAGE, layers.RandomBrightness(0.1), convolution()),
        *(0, 255, ANY),
    ),
    "rescaling, brightness": (
        chain(IMAGE, layers.Rescaling(1 / 255), layers.RandomBrightness(0.1)),
        *(0, 255, ANY),
    ),
    "unknown size": (
        chain((None, None, 3), layers.Resizing(8, 8), layers.Rescaling(0.01)),
        *(0, 100, ANY),
    ),
    "embedding": (
        chain((8,), layers.Embedding(9, 3), dtype="int32"),
        *(0, 8, BOUND),
    ),
    "float embedding": (chain((8,), layers.Embedding(9, 3)), 0, 8, BOUND),
    "embedding in a layer": (chain((8,), Tokens()), 1, 7, BOUND),
    "embedding of scalars": (
        chain((), layers.Embedding(5, 2), dtype="int32"),
        *(0, 4, BOUND),
    ),
    "lookup": (
        chain(
            (8,),
            layers.IntegerLookup(vocabulary=[10, 20, 3000]),
            layers.Embedding(4, 2),
            dtype="int64",
        ),
        *(0, 3000, WHOLE | {"levels": [10, 20, 3000, 3001, 3002]}),
    ),
    "bins": (
        chain((8,), layers.Discretization([1.0, 2.0, 7.0])),
        *(-1, 9, ANY | {"levels": [-1, 1.5, 4.5, 1, 2, 7, 9]}),
    ),
    "categories": (
        chain((8,), layers.CategoryEncoding(5), dtype="int32"),
        *(0, 4, BOUND),
    ),
    "one hot": (computed(lambda x: ops.one_hot(x, 6)), 0, 5, BOUND),
    "hashing": (
        chain((8,), layers.Hashing(5), dtype="int64"),
        *(-1000, 1000, WHOLE),
    ),
    "quotient": (computed(lambda x: x // 60), -1000, 1000, WHOLE),
    "truncated": (
        computed(lambda x: ops.cast(x, "int32") % 60, "float32"),
        *(-1000, 1000, ANY),
    ),
    "quotient, embedding": (
        computed(lambda x: layers.Embedding(5, 2)(x // 10)),
        *(0, 40, BOUND | {"integers": True}),
    ),
    "mask": (
        chain((4,), layers.Rescaling(2.0), dtype="int32", name="padding_mask"),
        *(0, 1, BOUND),
    ),
    "masking": (
        chain((6, 3), layers.Masking(-1.0), layers.LSTM(3)),
        *(0, 1, ANY | {"padding": -1}),
    ),
    "positions": (positions(), 0, 8, BOUND | {"padding": 0}),
    "columns": (
        table(),
        [0, -5, 1, -2],
        [10, 15, 9, 2],
        {
            "integers": [True, False, False, False],
            "bounded": [True, False, False, False],
        },
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_domain(case):
    model, low, high, facts = CASES[case]
    domains = input_domains(model)
    domain = next(iter(domains.values()))
    for name, value in {"low": low, "high": high, **facts}.items():
        found = getattr(domain, name)
        assert np.shape(found) == np.shape(value), name
        np.testing.assert_allclose(found, value, rtol=1e-6, err_msg=name)
    if "padding" not in facts:
        assert domain.padding is None
    if case != "columns" and "levels" not in facts:
        assert domain.levels is None


@pytest.mark.parametrize("case", CASES)
def test_drawn_inputs_move_the_output(case):
    model = CASES[case][0]
    named = InferenceModel.of(model)
    generator = np.random.default_rng(0)
    domains = input_domains(model)
    tensors = []
    for spec in named.inputs:
        shape = (8, *(size or 16 for size in spec.shape[1:]))
        values = domains[spec.name].draw(generator, shape).astype(spec.dtype)
        tensors.append(ops.convert_to_tensor(values))
    (output,) = named.call(*tensors)
    output = ops.convert_to_numpy(output).astype("float64")
    assert np.isfinite(output).all()
    assert np.ptp(output, axis=0).max() > 0.1 * np.abs(output).max()


def test_each_input_has_its_domain():
    domains = input_domains(positions())
    assert {name: int(x.high) for name, x in domains.items()} == {
        "x": 8,
        "places": 5,
    }


def test_a_mask_never_hides_the_first_step():
    tokens = keras.Input((6,), dtype="int32", name="padding_mask")
    domain = input_domains(keras.Model(tokens, tokens * 2))["padding_mask"]
    drawn = domain.draw(np.random.default_rng(0), (50, 6))
    assert set(drawn[:, 0]) == {1} and set(drawn[:, 1]) == {0, 1}


def test_padding_ends_sequences():
    domain = input_domains(positions())["x"]
    drawn = domain.draw(np.random.default_rng(0), (50, 6))
    padded = drawn[:, ::-1].cumsum(axis=1)[:, ::-1] == 0
    assert 0.1 < padded.mean() < 0.4 and not padded[:, 0].all()


def test_values_that_do_not_fit_are_replaced_where_bounded():
    domain = input_domains(table())["x"]
    values = np.full((5, 4), -99.5)
    fitted = domain.fit(np.random.default_rng(0), values)
    assert (fitted[:, 0] >= 0).all() and (fitted[:, 1:] == -99.5).all()
