"""VGG16 compared with that of `keras.applications`."""

import keras
import pytest

from keras_inception_layers import VGG16
from tests.helpers.numeric import (
    assert_equal,
    check_equal,
    random_images,
    randomize,
)

# Relative to the largest output: the operations and their order are the same.
TOLERANCE = 1e-6


def check_same(ours, theirs):
    images = random_images((2, 32, 32, 3))
    check_equal(
        ours,
        images,
        theirs(images),
        TOLERANCE,
        ours.get_layer("block5_conv3").bias,
    )


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
    check_same(ours, theirs)
    randomize(ours, seed=2)
    theirs.set_weights(ours.get_weights())
    check_same(ours, theirs)
    path = tmp_path / "vgg16.weights.h5"
    theirs.save_weights(path)
    check_same(VGG16(**options, weights=path), theirs)
    ours.save_weights(path)
    theirs.load_weights(path)
    for weight, expected in zip(
        theirs.get_weights(), ours.get_weights(), strict=True
    ):
        assert_equal(weight, expected)
