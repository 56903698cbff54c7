"""What `port_keras_applications_weights` copies, and what it refuses."""

import keras
import pytest

from keras_inception_layers import VGG16, InceptionResNetV2, InceptionV3
from keras_inception_layers.porting import port_keras_applications_weights
from tests.helpers.numeric import (
    assert_equal,
    perturb,
    random_images,
    randomize,
    relative_error,
    snapshot,
)

# Ours, theirs and the smallest images: a line a network.
NETWORKS = {
    "vgg16": (VGG16, keras.applications.VGG16, 32),
    "inception_v3": (InceptionV3, keras.applications.InceptionV3, 75),
    "inception_resnet_v2": (
        InceptionResNetV2,
        keras.applications.InceptionResNetV2,
        75,
    ),
}
every_network = pytest.mark.parametrize("name", NETWORKS)
TOLERANCE = 1e-5


def small(name, **options):
    """Return a pair of ours and theirs, with different weights."""
    ours, theirs, size = NETWORKS[name]
    options = {"input_shape": (size, size, 3), "classes": 5, **options}
    return (
        randomize(ours(**options), seed=2),
        randomize(theirs(weights=None, **options)),
    )


@pytest.mark.parametrize("include_top", [True, False])
@every_network
def test_every_weight_is_copied_to_its_place(name, include_top):
    ours, theirs = small(name, include_top=include_top, pooling=None)
    assert port_keras_applications_weights(theirs, ours) is ours
    images = random_images((2, *ours.input_shape[1:]))
    expected = theirs(images)
    assert relative_error(ours(images), expected) < TOLERANCE
    perturb(ours.weights[0])
    assert relative_error(ours(images), expected) > TOLERANCE

    def fingerprints(model):
        return sorted(weight.tobytes() for weight in model.get_weights()[1:])

    assert fingerprints(ours) == fingerprints(theirs)


@every_network
def test_layer_names_do_not_matter(name):
    ours, theirs = small(name)
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


def other(name, **options):
    return small(name, **options)[1]


REFUSED = {
    "other channels": (
        lambda: other("vgg16", input_shape=(32, 32, 1)),
        r'layer 0 .*"block1_conv1".*\(3, 3, 1, 64\).*"block1_conv1".*3, 3, 3',
    ),
    "other classes": (
        lambda: other("vgg16", classes=6),
        r'"predictions".*\(4096, 6\).*"predictions".*\(4096, 5\)',
    ),
    "no top": (
        lambda: other("vgg16", include_top=False),
        'is missing in `source` and "fc1", Dense',
    ),
    "a layer more": (
        lambda: keras.Model(
            (source := other("vgg16")).input,
            keras.layers.Dense(3, name="head")(source.output),
        ),
        r'"head", Dense.*\(5, 3\).*missing in `target`',
    ),
    "another network": (
        lambda: other("inception_v3"),
        '"conv2d.*", Conv2D with .*"block1_conv1", Conv2D',
    ),
    "a file name": (lambda: "vgg16.h5", "source='vgg16.h5'"),
}


@pytest.mark.parametrize(
    ("make", "message"), REFUSED.values(), ids=REFUSED.keys()
)
def test_a_source_that_does_not_fit_is_refused(make, message):
    target, _ = small("vgg16")
    before = snapshot(target)
    with pytest.raises(ValueError, match=message):
        port_keras_applications_weights(make(), target)
    for old, new in zip(before, target.get_weights(), strict=True):
        assert_equal(new, old)


def test_another_convention_is_refused():
    options = {"include_top": False, "input_shape": (75, 75, 3)}
    target = InceptionV3(**options, convention="torchvision")
    with pytest.raises(ValueError, match='in `target`.*convention "paper"'):
        port_keras_applications_weights(
            other("inception_v3", include_top=False), target
        )
