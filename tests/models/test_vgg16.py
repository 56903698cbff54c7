"""VGG16 compared with that of `keras.applications`."""

import keras
import pytest

from keras_inception_layers import VGG16
from tests.helpers.numeric import (
    assert_equal,
    perturb,
    random_images,
    randomize,
    relative_error,
)

# Relative to the largest output: the operations and their order are the same.
TOLERANCE = 1e-6


def pair(include_top, pooling="max"):
    """Return our VGG16 and Keras's for small images, with other weights."""
    options = {
        "include_top": include_top,
        "input_shape": (32, 32, 3),
        "pooling": pooling,
        "classes": 10,
    }
    theirs = keras.applications.VGG16(weights=None, **options)
    return VGG16(**options), randomize(theirs)


def check_equal(ours, theirs):
    images = random_images((2, 32, 32, 3))
    expected = theirs(images)
    assert relative_error(ours(images), expected) < TOLERANCE
    perturb(ours.get_layer("block5_conv3").bias)
    assert relative_error(ours(images), expected) > TOLERANCE


@pytest.mark.parametrize("include_top", [True, False])
def test_weights_are_interchangeable(include_top):
    ours, theirs = pair(include_top)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    ours.set_weights(theirs.get_weights())
    check_equal(ours, theirs)
    randomize(ours, seed=2)
    theirs.set_weights(ours.get_weights())
    check_equal(ours, theirs)


@pytest.mark.one_backend
@pytest.mark.parametrize("pooling", ["max", None])
def test_weights_file_of_keras_applications(pooling, tmp_path):
    _, theirs = pair(include_top=False, pooling=pooling)
    path = tmp_path / "vgg16.weights.h5"
    theirs.save_weights(path)
    ours = VGG16(
        include_top=False,
        input_shape=(32, 32, 3),
        pooling=pooling,
        weights=path,
    )
    check_equal(ours, theirs)


@pytest.mark.one_backend
def test_weights_file_for_keras_applications(tmp_path):
    ours, theirs = pair(include_top=False)
    randomize(ours, seed=2)
    path = tmp_path / "vgg16.weights.h5"
    ours.save_weights(path)
    theirs.load_weights(path)
    for weight, expected in zip(
        theirs.get_weights(), ours.get_weights(), strict=True
    ):
        assert_equal(weight, expected)
