"""The layers' outputs, compared with numpy and between data formats."""

from functools import partial, reduce

import keras
import numpy as np
import pytest

from keras_inception_layers import (
    AuxiliaryClassifier,
    ConvBN,
    InceptionBlock,
)
from tests.helpers.layer_cases import every_config_case, ordered
from tests.helpers.numeric import (
    FLOAT32_TOLERANCE,
    FLOAT64_TOLERANCE,
    assert_equal,
    check_equal,
    perturb,
    random_images,
    randomize,
    relative_error,
    to_array,
)
from tests.helpers.numpy_layers import conv_bn


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("size", "strides", "padding"),
    [
        ((3, 3), (1, 1), "same"),
        ((3, 3), (2, 2), "same"),
        ((5, 1), (1, 2), "same"),
        ((3, 2), (1, 1), "valid"),
        ((3, 3), (2, 2), "valid"),
    ],
)
def test_conv_bn_equals_numpy(size, strides, padding):
    layer = ConvBN(4, size, strides, padding, dtype="float64")
    images = random_images((2, 8, 7, 3)).astype("float64")
    layer.build(images.shape)
    randomize(layer)
    expected = conv_bn(
        images, iter(layer.get_weights()), size, strides, padding
    )
    weight = layer.batch_norm.moving_variance
    check_equal(layer, images, expected, FLOAT64_TOLERANCE, weight)


def test_inception_block_joins_its_branches_in_order():
    branches = [
        [keras.layers.Conv2D(2, 3, padding="same")],
        [keras.layers.MaxPooling2D(3, 1, "same"), ConvBN(3, 1)],
        [keras.layers.Activation("tanh")],
    ]
    block = InceptionBlock(branches)
    images = random_images((2, 8, 7, 3))
    actual = block(images)
    outputs = [
        reduce(lambda x, layer: layer(x), branch, images) for branch in branches
    ]
    assert_equal(actual, keras.ops.concatenate(outputs, axis=-1))


@every_config_case
def test_channels_first_equals_channels_last(case):
    images = random_images(case.images)
    last = case.make(data_format="channels_last")
    last.build(case.images)
    randomize(last)
    expected = last(images)
    first = case.make(data_format="channels_first")
    first.build(ordered(case.images, "channels_first"))
    first.set_weights(last.get_weights())

    def run():
        output = to_array(first(np.moveaxis(images, -1, 1)))
        return np.moveaxis(output, 1, -1) if len(case.outputs) == 4 else output

    assert relative_error(run(), expected) < FLOAT32_TOLERANCE
    perturb(first.weights[0])
    assert relative_error(run(), expected) > FLOAT32_TOLERANCE


@pytest.mark.usefixtures("float64")
def test_training_uses_batch_statistics_and_updates_the_moving_ones():
    layer = ConvBN(4, 1, activation=None, momentum=0.75, dtype="float64")
    images = random_images((4, 5, 6, 3)).astype("float64")
    layer.build(images.shape)
    randomize(layer)
    kernel, beta, mean, variance = layer.get_weights()
    y = images @ kernel[0, 0]
    batch_mean, batch_variance = y.mean((0, 1, 2)), y.var((0, 1, 2))
    expected = (y - batch_mean) / np.sqrt(batch_variance + 1e-3) + beta
    inference = layer(images, training=False)
    assert relative_error(layer(images), inference) == 0
    assert_equal(layer.get_weights()[2], mean)
    actual = layer(images, training=True)
    assert relative_error(actual, expected) < FLOAT64_TOLERANCE
    assert relative_error(inference, expected) > 0.01
    updated = [
        mean * 0.75 + batch_mean / 4,
        variance * 0.75 + batch_variance / 4,
    ]
    for actual, expected in zip(layer.get_weights()[2:], updated, strict=True):
        assert relative_error(actual, expected) < FLOAT64_TOLERANCE


@every_config_case
def test_training_updates_every_batch_norm(case):
    layer = case.make()
    layer.build(case.images)
    statistics = [w for w in layer.weights if w.name.startswith("moving_")]
    assert len(statistics) == case.non_trainable

    def changed(training):
        before = [to_array(w) for w in statistics]
        layer(random_images(case.images), training=training)
        return [
            bool(np.any(to_array(new) != old))
            for new, old in zip(statistics, before, strict=True)
        ]

    assert changed(training=False) == [False] * case.non_trainable
    assert changed(training=True) == [True] * case.non_trainable


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("adaptive", [False, True])
def test_auxiliary_classifier_averages_a_grid(adaptive):
    """Windows of 5 x 5 with stride 3, or 4 x 4 regions that cover the maps."""
    head = AuxiliaryClassifier(5, adaptive_pooling=adaptive, dtype="float64")
    images = random_images((2, 11, 14, 3)).astype("float64")
    height, width = (
        [
            slice(i * n // 4, -(-(i + 1) * n // 4))
            if adaptive
            else slice(3 * i, 3 * i + 5)
            for i in range(4 if adaptive else (n - 2) // 3)
        ]
        for n in images.shape[1:3]
    )
    expected = np.stack(
        [
            np.stack([images[:, a, b].mean((1, 2)) for b in width], axis=1)
            for a in height
        ],
        axis=1,
    )
    assert relative_error(head.pool(images), expected) < FLOAT64_TOLERANCE
    images[:, 5] += 0.01
    assert relative_error(head.pool(images), expected) > FLOAT64_TOLERANCE


def test_auxiliary_classifier_drops_units_in_training_only():
    make = partial(AuxiliaryClassifier, 5, use_batch_norm=False, seed=1)
    head = make()
    images = random_images((2, 11, 14, 3))
    expected = head(images, training=False)
    assert_equal(head(images, training=False), expected)
    dropped = head(images, training=True)
    assert relative_error(dropped, expected) > 0.01
    assert relative_error(head(images, training=True), dropped) > 0.01
    undropped = make(dropout=0.0)
    undropped.build(images.shape)
    undropped.set_weights(head.get_weights())
    assert_equal(undropped(images, training=True), expected)
