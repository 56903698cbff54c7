"""Inception-ResNet v2 compared with that of `keras.applications`."""

import keras
import pytest

from keras_inception_layers import InceptionResNetV2
from tests.helpers.numeric import (
    perturb,
    random_images,
    randomize,
    relative_error,
)

# Inception v3 is compared under every backend.
pytestmark = pytest.mark.one_backend

# Relative to the largest output. Measured: 0, the same operations in the same
# order.
TOLERANCE = 1e-5
SMALL = {"input_shape": (75, 75, 3), "classifier_activation": None}


@pytest.fixture(scope="module")
def theirs():
    """The network of Keras; a random one replaces the published one."""
    make = keras.applications.InceptionResNetV2
    return randomize(make(weights=None, **SMALL))


@pytest.fixture(scope="module")
def ours(theirs):
    def loader(include_top, weights, classes):
        assert (include_top, weights, classes) == (True, "imagenet", 1000)
        return theirs

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.applications, "InceptionResNetV2", loader)
        return InceptionResNetV2(**SMALL, weights="imagenet")


def test_imagenet_weights_are_those_of_keras_applications(ours, theirs):
    assert ours.count_params() == theirs.count_params() == 55_873_736
    images = random_images((1, 75, 75, 3))
    expected = theirs(images)
    assert relative_error(ours(images), expected) < TOLERANCE
    for name in ("mixed_6a", "conv_7b"):
        weight = ours.get_layer(name).weights[0]
        perturb(weight)
        assert relative_error(ours(images), expected) > TOLERANCE
        perturb(weight, relative=1 / 1.01 - 1)
