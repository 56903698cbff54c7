"""A folded copy has the outputs of the model, without batch normalization."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers

import keras_inception_layers as plugin
from keras_inception_layers import fold_batch_norm
from tests.helpers.layer_cases import CASES as LAYER_CASES
from tests.helpers.numeric import (
    assert_equal,
    perturb,
    random_images,
    randomize,
    relative_error,
    snapshot,
)

# Relative to the largest output. Measured: at most 8e-7, over all cases. Each
# folded kernel is rounded once.
TOLERANCE = 6e-6
norm = layers.BatchNormalization
FILTERS = ((4,), (3, 5), (2, 4), (3,))


def sequential(shape, *children):
    return keras.Sequential([keras.Input(shape), *children])


def two_readers():
    image = keras.Input((8, 8, 3))
    read_twice = layers.Conv2D(4, 3)(image)
    return keras.Model(image, [read_twice, norm()(read_twice)])


def shared_pair():
    image = keras.Input((8, 8, 3))
    conv, batch_norm = layers.Conv2D(3, 3, padding="same"), norm()
    x = batch_norm(conv(image))
    return keras.Model(image, batch_norm(conv(x)))


def shared_convolution():
    image = keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 3, padding="same")
    x = norm()(conv(image))
    return keras.Model(image, norm()(conv(x)))


def shared_between_models():
    image = keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 3, padding="same")
    inner = keras.Model(image, norm()(conv(image)))
    return keras.Model(image, conv(inner(image)))


def nested_and_called_twice():
    image = keras.Input((8, 8, 3))
    inner = sequential((8, 8, 3), layers.Conv2D(3, 3, padding="same"), norm())
    return keras.Model(image, layers.Add()([inner(inner(image)), image]))


def nested_ends_before_norm():
    image = keras.Input((8, 8, 3))
    inner = sequential((8, 8, 3), layers.Conv2D(3, 3))
    return keras.Model(image, norm()(inner(image)))


def always_in_training():
    image = keras.Input((8, 8, 3))
    x = norm()(layers.Conv2D(3, 3)(image), training=True)
    return keras.Model(image, x)


def dictionaries():
    image = keras.Input((8, 8, 3), name="image")
    x = plugin.InceptionBlock(
        [
            [layers.Conv2D(3, 1), norm()],
            [layers.MaxPooling2D(3, 1, "same"), plugin.ConvBN(3, 3)],
        ]
    )(image)
    other = norm()(layers.Conv2D(2, 3)(x))
    return keras.Model({"image": image}, {"x": x, "other": other})


def units(use_bias):
    rows = ((2,), (2, 3, 4), (3,))
    return (
        plugin.ConvBN(3, 3, use_bias=use_bias),
        plugin.InceptionResNetV2BlockB(rows, 0.1, use_bias=use_bias),
        plugin.AuxiliaryClassifier(3, use_bias=use_bias),
    )


# The input shape and the layers of a model without batch normalization left.
FOLDED = {
    "ConvBN": ((8, 8, 3), plugin.ConvBN(4, 3)),
    "ConvBN scale": ((8, 8, 3), plugin.ConvBN(4, 3, scale=True)),
    "use_bias=True": ((8, 8, 3), *units(True)),
    "use_bias=False": ((8, 8, 3), *units(False)),
    "blocks": (
        (8, 8, 3),
        plugin.InceptionV1Block(FILTERS),
        plugin.InceptionV3Block(FILTERS),
        plugin.InceptionV3ExpandedBlock(FILTERS),
        plugin.AuxiliaryClassifier(3),
    ),
    "channels_first": (
        (3, 8, 8),
        plugin.InceptionV2Block(FILTERS, data_format="channels_first"),
        layers.Conv2D(4, 3, data_format="channels_first"),
        norm(axis=1),
    ),
    "Conv1D": ((9, 4), layers.Conv1D(6, 3, groups=2), norm(scale=False)),
    "Conv2D": ((8, 8, 3), layers.Conv2D(4, 3), norm()),
    "Conv2D without bias": (
        *((8, 8, 3), layers.Conv2D(4, 3, use_bias=False), norm(center=False)),
    ),
    "Conv3D": ((5, 4, 4, 2), layers.Conv3D(3, 3), norm()),
    "Conv1DTranspose": ((9, 4), layers.Conv1DTranspose(3, 3), norm()),
    "Conv2DTranspose": (
        *((5, 5, 4), layers.Conv2DTranspose(3, 3, strides=2), norm()),
    ),
    "Conv3DTranspose": ((3, 3, 3, 2), layers.Conv3DTranspose(4, 2), norm()),
    "DepthwiseConv1D": ((9, 4), layers.DepthwiseConv1D(3), norm()),
    "DepthwiseConv2D": (
        *((8, 8, 3), layers.DepthwiseConv2D(3, depth_multiplier=2), norm()),
    ),
    "SeparableConv1D": ((9, 4), layers.SeparableConv1D(3, 3), norm()),
    "SeparableConv2D": (
        *((8, 8, 3), layers.SeparableConv2D(5, 3, use_bias=False), norm()),
    ),
    "Dense": ((7,), layers.Dense(5), norm()),
}
# A function that makes the model, and how many batch normalizations remain.
CASES = {
    **{name: (partial(sequential, *x), 0) for name, x in FOLDED.items()},
    "dictionaries": (dictionaries, 0),
    "nested and called twice": (nested_and_called_twice, 0),
    "shared pair": (shared_pair, 0),
    "activation between": (
        lambda: sequential(
            (8, 8, 3), layers.Conv2D(4, 3, activation="relu"), norm()
        ),
        1,
    ),
    "wrong axis": (
        lambda: sequential((8, 8, 3), layers.Conv2D(4, 3), norm(axis=1)),
        1,
    ),
    "channels first, as wide as channels": (
        lambda: sequential(
            (3, 8, 8),
            plugin.InceptionV2Block(
                ((4,), (3, 8), (2, 4), (3,)), data_format="channels_first"
            ),
            layers.Conv2D(6, 3, data_format="channels_first"),
            norm(axis=1),
        ),
        2,
    ),
    "channels first, of unknown width": (
        lambda: sequential(
            (3, 8, None), plugin.ConvBN(8, 3, data_format="channels_first")
        ),
        1,
    ),
    "two readers": (two_readers, 1),
    "shared convolution": (shared_convolution, 2),
    "shared between models": (shared_between_models, 1),
    "nested ends before norm": (nested_ends_before_norm, 1),
    "always in training": (always_in_training, 1),
}


def run(model):
    shapes = [[size or 8 for size in x.shape[1:]] for x in model.inputs]
    feeds = [random_images((2, *shape)) for shape in shapes]
    if isinstance(getattr(model, "input", None), dict):
        feeds = [dict(zip(model.input, feeds, strict=True))]
    return keras.tree.flatten(model(feeds[0], training=False))


def error(model, other):
    pairs = zip(run(other), run(model), strict=True)
    return max(relative_error(a, b) for a, b in pairs)


def batch_norms(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization)
    ]


@pytest.mark.parametrize("name", CASES)
def test_copy_equals_model(name):
    make, remaining = CASES[name]
    model = randomize(make())
    before = snapshot(model)

    copy = fold_batch_norm(model)

    assert error(model, copy) <= TOLERANCE
    assert len(batch_norms(copy)) == remaining
    assert type(copy) is type(model) and copy.name == model.name
    for weight, value in zip(model.weights, before, strict=True):
        assert_equal(weight, value)
    perturb(copy.weights[0])
    assert error(model, copy) > TOLERANCE


@pytest.mark.parametrize("name", LAYER_CASES)
def test_no_batch_norm_remains_in_any_layer(name):
    case = LAYER_CASES[name]
    model = randomize(sequential(case.images[1:], case.make()))
    copy = fold_batch_norm(model)
    assert error(model, copy) <= TOLERANCE and not batch_norms(copy)
    perturb(copy.weights[-1], relative=1)
    assert error(model, copy) > TOLERANCE


def test_weights_of_shared_layers_are_not_duplicated():
    model = randomize(shared_pair())
    assert len(fold_batch_norm(model).weights) == 2


def test_normalization_keeps_its_statistics():
    adapted = layers.Normalization()
    adapted.adapt(random_images((50, 8, 8, 3)) * 4 + 7)
    model = sequential((8, 8, 3), adapted, layers.Conv2D(2, 3), norm())
    assert error(model, fold_batch_norm(model)) <= TOLERANCE


def test_vocabulary_is_copied(float64):
    lookup = layers.IntegerLookup()
    lookup.adapt([12, 36, 1138, 42])
    tokens = keras.Input((2,), dtype="int64")
    model = keras.Model(tokens, lookup(tokens))
    copy = fold_batch_norm(model)
    feed = np.array([[42, 7], [12, 1138]])
    assert_equal(copy(feed), model(feed))


@pytest.mark.full_size
@pytest.mark.parametrize(
    "name",
    (
        "MobileNetV2",
        pytest.param("MobileNetV3Small", marks=pytest.mark.slow),
        pytest.param("Xception", marks=pytest.mark.slow),
    ),
)
def test_folded_copies_equal_published_networks(name):
    make = getattr(keras.applications, name)
    model = randomize(make(input_shape=(71, 71, 3), weights=None, classes=9))
    copy = fold_batch_norm(model)
    assert error(model, copy) <= TOLERANCE
    assert not batch_norms(copy)


def test_folded_weights_have_the_path_of_their_layer():
    image = keras.Input((8, 8, 3))
    block = plugin.InceptionV1Block(FILTERS, name="block_3_1")
    copy = fold_batch_norm(keras.Model(image, block(image)))
    assert [weight.path for weight in copy.weights][2:4] == [
        "block_3_1/branch_1_conv_0/conv/kernel",
        "block_3_1/branch_1_conv_0/conv/bias",
    ]


def test_a_model_with_an_unregistered_layer_is_folded():
    class Double(layers.Layer):
        def call(self, inputs):
            return inputs * 2

    model = sequential((8, 8, 3), Double(), layers.Conv2D(2, 3), norm())
    randomize(model)
    copy = fold_batch_norm(model)
    assert error(model, copy) <= TOLERANCE and not batch_norms(copy)


def test_an_unbuilt_model_is_rejected():
    with pytest.raises(ValueError, match='"young" is not built'):
        fold_batch_norm(keras.Sequential([norm()], name="young"))


@pytest.mark.parametrize("model", ["x", 3, None, layers.Dense(2)], ids=str)
def test_what_is_no_model_is_rejected(model):
    with pytest.raises(ValueError, match="`model` must be a Keras model. Rec"):
        fold_batch_norm(model)
