"""`port_keras_applications_weights`: what it copies and what it rejects."""

from functools import cache

import keras
import pytest

from keras_inception_layers import VGG16, InceptionV3
from keras_inception_layers.porting import port_keras_applications_weights
from tests.helpers.numeric import (
    assert_equal,
    check_equal,
    random_images,
    randomize,
    relative_error,
    snapshot,
)

# Our function, that of Keras, and height and width of the smallest images.
NETWORKS = {
    "vgg16": (VGG16, keras.applications.VGG16, 32),
    "inception_v3": (InceptionV3, keras.applications.InceptionV3, 75),
}
slow = pytest.mark.slow
# Relative to the largest output. Measured: 0.
TOLERANCE = 1e-5


def make_target(name, **options):
    """Return our network for small images."""
    ours, _, size = NETWORKS[name]
    options = {"input_shape": (size, size, 3), "classes": 5, **options}
    return randomize(ours(**options), seed=2)


@cache
def source(name, **options):
    """Return the network of Keras for small images; no test changes it."""
    _, theirs, size = NETWORKS[name]
    options = {"input_shape": (size, size, 3), "classes": 5, **options}
    return randomize(theirs(weights=None, **options))


# Also compared in tests/models: the quick tests port only the smallest here.
@pytest.mark.parametrize(
    ("name", "include_top"),
    [("vgg16", False), pytest.param("vgg16", True, marks=slow)],
)
def test_every_weight_is_copied_to_its_place(name, include_top):
    options = {"include_top": include_top, "pooling": None}
    ours, theirs = make_target(name, **options), source(name, **options)
    assert port_keras_applications_weights(theirs, ours) is ours
    images = random_images((2, *ours.input_shape[1:]))
    check_equal(ours, images, theirs(images), TOLERANCE, ours.weights[0])

    def fingerprints(model):
        return sorted(weight.tobytes() for weight in model.get_weights()[1:])

    assert fingerprints(ours) == fingerprints(theirs)


# Keras numbers the layers of InceptionV3, and names those of VGG16.
@pytest.mark.parametrize(
    "name", ["vgg16", pytest.param("inception_v3", marks=slow)]
)
def test_layer_names_do_not_matter(name):
    options = {"include_top": False, "pooling": None}
    ours, theirs = make_target(name, **options), source(name, **options)
    renamed = keras.models.clone_model(
        theirs,
        clone_function=lambda layer: layer.__class__.from_config(
            {**layer.get_config(), "name": f"{layer.name}_renamed"[::-1]}
        ),
    )
    renamed.set_weights(theirs.get_weights())
    images = random_images((2, *ours.input_shape[1:]))
    port_keras_applications_weights(renamed, ours)
    assert relative_error(ours(images), theirs(images)) < TOLERANCE


REJECTED = {
    "other channels": (
        lambda: source("vgg16", input_shape=(32, 32, 1)),
        r'layer 0 .*"block1_conv1".*\(3, 3, 1, 64\).*"block1_conv1".*3, 3, 3',
    ),
    "other classes": (
        lambda: source("vgg16", classes=6),
        r'"predictions".*\(4096, 6\).*"predictions".*\(4096, 5\)',
    ),
    "no top": (
        lambda: source("vgg16", include_top=False, pooling=None),
        'is missing in `source` and "fc1", Dense',
    ),
    "an extra layer": (
        lambda: keras.Model(
            (whole := source("vgg16")).input,
            keras.layers.Dense(3, name="head")(whole.output),
        ),
        r'"head", Dense.*\(5, 3\).*missing in `target`',
    ),
    "another network": (
        lambda: source("inception_v3", include_top=False, pooling=None),
        '"conv2d.*", Conv2D with .*"block1_conv1", Conv2D',
    ),
    "a file name": (lambda: "vgg16.h5", "source='vgg16.h5'"),
}


@pytest.fixture(scope="module")
def target():
    return make_target("vgg16")


@pytest.mark.parametrize(
    ("make", "message"), REJECTED.values(), ids=REJECTED.keys()
)
def test_a_source_that_does_not_fit_is_rejected(make, message, target):
    before = snapshot(target)
    with pytest.raises(ValueError, match=message):
        port_keras_applications_weights(make(), target)
    for old, new in zip(before, target.get_weights(), strict=True):
        assert_equal(new, old)


def test_another_convention_is_rejected():
    options = {"include_top": False, "input_shape": (75, 75, 3)}
    target = InceptionV3(**options, convention="torchvision")
    with pytest.raises(ValueError, match='in `target`.*convention "paper"'):
        port_keras_applications_weights(
            source("inception_v3", include_top=False, pooling=None), target
        )
