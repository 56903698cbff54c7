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


def check_equal(ours, theirs):
    images = random_images((2, 32, 32, 3))
    expected = theirs(images)
    assert relative_error(ours(images), expected) < TOLERANCE
    perturb(ours.get_layer("block5_conv3").bias)
    assert relative_error(ours(images), expected) > TOLERANCE


@pytest.mark.parametrize(
    "include_top", [pytest.param(True, marks=pytest.mark.one_backend), False]
)
def test_weights_and_their_files_are_interchangeable(include_top, tmp_path):
    options = {"include_top": include_top, "input_shape": (32, 32, 3)}
    options |= {"classes": 10, "pooling": "max"}
    theirs = keras.applications.VGG16(weights=None, **options)
    ours = VGG16(**options)
    assert [w.path for w in ours.weights] == [w.path for w in theirs.weights]
    ours.set_weights(randomize(theirs).get_weights())
    check_equal(ours, theirs)
    randomize(ours, seed=2)
    theirs.set_weights(ours.get_weights())
    check_equal(ours, theirs)
    path = tmp_path / "vgg16.weights.h5"
    theirs.save_weights(path)
    check_equal(VGG16(**options, weights=path), theirs)
    ours.save_weights(path)
    theirs.load_weights(path)
    for weight, expected in zip(
        theirs.get_weights(), ours.get_weights(), strict=True
    ):
        assert_equal(weight, expected)
