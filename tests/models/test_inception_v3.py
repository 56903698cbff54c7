"""Inception v3 and Inception-ResNet v2 compared with `keras.applications`."""

import keras
import pytest

import keras_inception_layers as plugin
from keras_inception_layers import InceptionV3
from keras_inception_layers.porting import port_keras_applications_weights
from tests.helpers.numeric import (
    check_equal,
    random_images,
    randomize,
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


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("name", "include_top", "parameters", "last"),
    [
        ("InceptionV3", False, 21_802_784, "mixed_10"),
        ("InceptionResNetV2", True, 55_873_736, "conv_7b"),
    ],
)
def test_imagenet_weights_are_those_of_keras_applications(
    name, include_top, parameters, last, monkeypatch
):
    """A random model replaces the one that the real loader downloads."""
    options = {**SMALL, "include_top": include_top}
    options["classifier_activation"] = None
    make = getattr(keras.applications, name)
    published = randomize(make(weights=None, **options))
    requests = []

    def loader(**options):
        requests.append(options)
        return published

    monkeypatch.setattr(keras.applications, name, loader)
    model = getattr(plugin, name)(**options, weights="imagenet")
    assert requests == [
        {"weights": "imagenet", "include_top": include_top, "classes": 1000}
    ]
    assert model.count_params() == published.count_params() == parameters
    images = random_images((1, 75, 75, 3))
    weight = model.get_layer(last).weights[0]
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
