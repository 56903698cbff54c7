"""Inception v3 compared with that of `keras.applications`."""

import keras
import numpy as np
import pytest

from keras_inception_layers import InceptionV3, drop_auxiliary
from keras_inception_layers.porting import port_keras_applications_weights
from tests.helpers.numeric import (
    ONE_STEP,
    check_equal,
    random_images,
    randomize,
    to_array,
)

# Relative to the largest output. Measured: 0 under TensorFlow on a CPU.
TOLERANCE = 1e-5
SMALL = {"input_shape": (75, 75, 3)}
FEATURES = {"include_top": False, "input_shape": (75, 75, 3)}


def keras_applications(**options):
    return randomize(keras.applications.InceptionV3(weights=None, **options))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            {
                "input_shape": (299, 299, 3),
                "classifier_activation": None,
                "convention": "keras",
            },
            marks=[pytest.mark.full_size, pytest.mark.slow],
        ),
        {"input_shape": (75, 96, 3), "classes": 10},
        pytest.param(
            {**FEATURES, "input_shape": (96, 75, 1), "pooling": "max"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_equals_keras_applications(options):
    options = dict(options)
    ours = InceptionV3(**options)
    options.pop("convention", None)
    theirs = keras_applications(**options)
    assert ours.count_params() == theirs.count_params()
    port_keras_applications_weights(theirs, ours)
    images = random_images((1, *options["input_shape"]))
    weight = ours.get_layer("mixed_10").weights[0]
    check_equal(ours, images, theirs(images), TOLERANCE, weight)


@pytest.mark.slow  # the side head needs the maps of 299 x 299 images
def test_side_head_trains_and_is_dropped():
    options = {"input_shape": (None, None, 3), "classes": 5}
    model = randomize(InceptionV3(**options, auxiliary=True))
    shapes = {name: x.shape for name, x in model.output.items()}
    assert shapes == dict.fromkeys(("predictions", "auxiliary"), (None, 5))
    head = model.get_layer("auxiliary")
    assert head.input is model.get_layer("mixed_7").output
    images = random_images((2, 299, 299, 3))
    model.compile(
        keras.optimizers.SGD(1e-3),
        dict.fromkeys(shapes, "sparse_categorical_crossentropy"),
        loss_weights={"predictions": 1.0, "auxiliary": 0.4},
        **ONE_STEP,
    )
    kernels = {
        name: model.get_layer(name).trainable_weights[0]
        for name in ("conv_0", "mixed_7", "mixed_10", "auxiliary")
    }
    before = {name: to_array(kernel) for name, kernel in kernels.items()}
    model.train_on_batch(images, dict.fromkeys(shapes, np.array([0, 2])))
    for name, kernel in kernels.items():
        assert np.any(to_array(kernel) != before[name]), name
    assert drop_auxiliary(model).output_shape == (None, 5)


@pytest.mark.one_backend
def test_imagenet_weights_are_those_of_keras_applications(monkeypatch):
    """A random model replaces the one that the real loader downloads."""
    published = keras_applications(**FEATURES)
    requests = []

    def loader(**options):
        requests.append(options)
        return published

    monkeypatch.setattr(keras.applications, "InceptionV3", loader)
    model = InceptionV3(**FEATURES, weights="imagenet")
    assert requests == [
        {"weights": "imagenet", "include_top": False, "classes": 1000}
    ]
    images = random_images((1, 75, 75, 3))
    weight = model.get_layer("mixed_10").weights[0]
    check_equal(model, images, published(images), TOLERANCE, weight)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"auxiliary": True}, r"at least 299.* \(75, 75, 3\)"),
        ({"auxiliary": True, "include_top": False}, "needs include_top=True"),
        ({"weights": "imagenet", "classes": 7}, "should be 1000"),
        ({"weights": "no.h5"}, "\"imagenet\" or the path.*weights='no.h5'"),
    ],
    ids=str,
)
def test_invalid_arguments_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        InceptionV3(**{**SMALL, **options})
