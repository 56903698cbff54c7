"""Inception-ResNet v2 compared with that of `keras.applications`."""

import keras
import numpy as np
import pytest

from keras_inception_layers import InceptionResNetV2, fold_batch_norm
from keras_inception_layers.porting import port_keras_applications_weights
from tests.helpers.numeric import (
    perturb,
    random_images,
    randomize,
    relative_error,
)

# Relative to the largest output. Measured: 0, the same operations in the same
# order.
TOLERANCE = 1e-5
# Measured: 2.7e-6.
FOLDED_TOLERANCE = 1e-5
SMALL = {"include_top": False, "input_shape": (75, 75, 3)}
reference = keras.applications.InceptionResNetV2


@pytest.fixture(scope="module")
def source():
    return randomize(reference(weights=None, **SMALL))


@pytest.mark.slow
@pytest.mark.full_size
def test_parameters_at_full_size():
    model = InceptionResNetV2()
    assert model.count_params() == 55_873_736
    timm = InceptionResNetV2(convention="timm")
    trainable = sum(np.prod(w.shape) for w in timm.trainable_weights)
    assert trainable == 55_843_464


@pytest.mark.parametrize(
    "options",
    [
        SMALL,
        pytest.param(
            {
                "include_top": True,
                "input_shape": (299, 299, 3),
                "classes": 10,
                "classifier_activation": None,
            },
            marks=[pytest.mark.full_size, pytest.mark.slow],
        ),
    ],
    ids=str,
)
def test_equals_keras_applications(options):
    theirs = randomize(reference(weights=None, **options))
    ours = InceptionResNetV2(**options, convention="keras")
    assert port_keras_applications_weights(theirs, ours) is ours
    images = random_images((1, *options["input_shape"]))
    expected = theirs(images)
    assert relative_error(ours(images), expected) < TOLERANCE
    perturb(ours.get_layer("mixed_6a").weights[0])
    assert relative_error(ours(images), expected) > TOLERANCE


@pytest.mark.slow
def test_folded_copy_equals_the_model():
    model = randomize(InceptionResNetV2(**SMALL, convention="timm"))
    copy = fold_batch_norm(model)
    assert not [w for w in copy.weights if w.name.startswith("moving_")]
    images = random_images((1, 75, 75, 3))
    expected = model(images)
    assert relative_error(copy(images), expected) < FOLDED_TOLERANCE
    perturb(copy.get_layer("block8_10").weights[-1])
    assert relative_error(copy(images), expected) > FOLDED_TOLERANCE


@pytest.mark.slow
def test_imagenet_weights_are_those_of_keras_applications(monkeypatch, source):
    def loader(include_top, weights, classes):
        assert (include_top, weights, classes) == (False, "imagenet", 1000)
        return source

    monkeypatch.setattr(keras.applications, "InceptionResNetV2", loader)
    model = InceptionResNetV2(**SMALL, weights="imagenet")
    images = random_images((1, 75, 75, 3))
    expected = source(images)
    assert relative_error(model(images), expected) < TOLERANCE
    random = InceptionResNetV2(**SMALL)
    assert relative_error(random(images), expected) > TOLERANCE


@pytest.mark.slow
def test_imagenet_weights_need_a_thousand_classes():
    with pytest.raises(ValueError, match="Received classes=10"):
        InceptionResNetV2(weights="imagenet", classes=10)
