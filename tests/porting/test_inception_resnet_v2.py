"""What `port_keras_inception_resnet_v2` refuses, before it sets a weight."""

import keras
import numpy as np
import pytest

from keras_inception_layers import InceptionResNetV2, fold_batch_norm
from keras_inception_layers.porting import port_keras_inception_resnet_v2

SMALL = {"include_top": False, "input_shape": (75, 75, 3)}


def make_source(**options):
    return keras.applications.InceptionResNetV2(
        weights=None, **{**SMALL, **options}
    )


@pytest.fixture(scope="module")
def source():
    return make_source()


@pytest.fixture(scope="module")
def target():
    return InceptionResNetV2(**SMALL)


def with_a_layer_more(model):
    x = keras.layers.Dense(3, name="head")(model.output)
    return keras.Model(model.input, x)


REFUSED_SOURCES = {
    "a layer less": (
        lambda model: keras.Model(
            model.input, model.get_layer("block8_10_conv").output
        ),
        'no tensor "conv_7b/kernel".*1, 1, 2080, 1536.*`conv_7b/conv/kernel`',
    ),
    "a layer more": (
        with_a_layer_more,
        r'"head/kernel".*\(1536, 3\), has no place in `target`',
    ),
    "other channels": (
        lambda model: make_source(input_shape=(75, 75, 1)),
        r'"conv2d_0/kernel" does not fit.*\(3, 3, 1, 32\).*\(3, 3, 3, 32\)',
    ),
    "a top": (
        lambda model: make_source(include_top=True, classes=5),
        '"predictions/kernel".*include_top',
    ),
    "a file name": (lambda model: "weights.h5", "source='weights.h5'"),
}


@pytest.mark.parametrize(
    ("change", "message"),
    REFUSED_SOURCES.values(),
    ids=REFUSED_SOURCES.keys(),
)
def test_a_source_that_does_not_fit_is_refused(change, message, source, target):
    before = [np.copy(weight) for weight in target.get_weights()]
    with pytest.raises(ValueError, match=message):
        port_keras_inception_resnet_v2(change(source), target)
    for old, new in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


REFUSED_TARGETS = {
    "a scale": (
        lambda: InceptionResNetV2(**SMALL, convention="timm"),
        'no tensor "batch_normalization_0/gamma"',
    ),
    "a folded model": (
        lambda: fold_batch_norm(InceptionResNetV2(**SMALL)),
        'no tensor "conv2d_0/bias"',
    ),
    "a layer": (lambda: keras.layers.Dense(3), "target=<Dense"),
}


@pytest.mark.parametrize(
    ("make", "message"), REFUSED_TARGETS.values(), ids=REFUSED_TARGETS.keys()
)
def test_a_target_that_does_not_fit_is_refused(make, message, source):
    with pytest.raises(ValueError, match=message):
        port_keras_inception_resnet_v2(source, make())


def test_the_layers_are_found_whatever_numbers_keras_gave_them(target):
    for _ in range(2):  # the second is numbered where the first ends
        source = make_source()
        source.set_weights([w + 1 for w in source.get_weights()])
        port_keras_inception_resnet_v2(source, target)
        stem = source.layers[1].get_weights()[0]
        np.testing.assert_array_equal(target.weights[0], stem)
