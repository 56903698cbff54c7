"""Copies of networks: without batch normalization, and channels first.

They compute what the network itself computes.
"""

import keras
import numpy as np
import pytest

from keras_inception_layers import (
    GoogLeNet,
    InceptionResNetV2,
    InceptionV3,
    InceptionV4,
    VGG16Inception,
    fold_batch_norm,
)
from tests.helpers.numeric import check_equal, random_images, randomize

# Relative to the largest output. Measured: up to 2.7e-6 for the folded copies;
# other convolution kernels add in another order.
TOLERANCE = 1e-5
FEATURES = {"include_top": False, "pooling": "avg"}


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("network", "shape", "options", "last"),
    [
        (GoogLeNet, (65, 70, 3), {"convention": "torchvision"}, "inception_5b"),
        (InceptionV4, (75, 75, 3), {"convention": "timm"}, "block_c_3"),
        pytest.param(
            *(InceptionResNetV2, (75, 75, 3), {}, "block8_10"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_folded_copy_equals_the_model(network, shape, options, last):
    model = randomize(network(False, input_shape=shape, **options))
    copy = fold_batch_norm(model)
    assert not [w for w in copy.weights if w.name.startswith("moving_")]
    images = random_images((1, *shape))
    weight = copy.get_layer(last).weights[-1]
    check_equal(copy, images, model(images), TOLERANCE, weight)


@pytest.mark.parametrize(
    ("network", "shape", "options", "last"),
    [
        pytest.param(
            *(VGG16Inception, (32, 40, 3), {"include_top": False}, "block_3_2"),
            marks=pytest.mark.one_backend,
        ),
        pytest.param(
            *(GoogLeNet, (65, 70, 3), {"convention": "torchvision"}),
            "inception_5b",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *(InceptionV3, (75, 75, 3), FEATURES, "mixed_10"),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_channels_first_equals_channels_last(network, shape, options, last):
    model = randomize(network(input_shape=shape, **options))
    images = random_images((1, *shape))
    expected = model(images)
    keras.config.set_image_data_format("channels_first")
    first = network(input_shape=(shape[-1], *shape[:-1]), **options)
    first.set_weights(model.get_weights())
    weight = first.get_layer(last).weights[0]
    images = np.moveaxis(images, -1, 1)
    check_equal(first, images, expected, TOLERANCE, weight)
