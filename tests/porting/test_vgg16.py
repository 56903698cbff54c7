"""`port_vgg16_weights`: what it copies and what it rejects."""

from functools import cache

import keras
import pytest

from keras_inception_layers import (
    VGG16,
    InceptionV3,
    VGG16Inception,
    fold_batch_norm,
)
from keras_inception_layers.porting import port_vgg16_weights
from tests.helpers.numeric import (
    assert_equal,
    perturb,
    random_images,
    randomize,
    relative_error,
    snapshot,
)

# Relative to the largest output of a block. Measured: 1.2e-6.
TOLERANCE = 1e-5
# Number of convolutions of each plain block, which ends in a pooling.
BLOCKS = {1: 2, 2: 2, 4: 3}
FEATURES = {"include_top": False, "pooling": None}
COLOR, GRAY = (32, 32, 3), (32, 32, 1)


@cache
def vgg16(make=keras.applications.VGG16, **options):
    """Return a source model; no test changes it."""
    options = {"weights": None, "input_shape": COLOR, **FEATURES, **options}
    return randomize(make(**options))


def hybrid(shape=COLOR, **options):
    options = {"input_shape": shape, **FEATURES, **options}
    return randomize(VGG16Inception(**options), seed=2)


@cache
def unchanged_hybrid():
    """Return a target of the tests that expect an error."""
    return hybrid()


def run_block(model, number, maps):
    for index in range(1, BLOCKS[number] + 1):
        maps = model.get_layer(f"block{number}_conv{index}")(maps)
    return model.get_layer(f"block{number}_pool")(maps)


@pytest.mark.parametrize("make", [keras.applications.VGG16, VGG16])
def test_each_plain_block_computes_the_same_function(make):
    source, target = vgg16(make), hybrid()
    before = {layer.name: layer.get_weights() for layer in target.layers}
    assert port_vgg16_weights(source, target) is target
    for number, channels in ((1, 3), (2, 64), (4, 256)):
        maps = random_images((2, 16, 16, channels))
        expected = run_block(source, number, maps)
        actual = run_block(target, number, maps)
        assert relative_error(actual, expected) < TOLERANCE
        perturb(target.get_layer(f"block{number}_conv2").weights[1])
        actual = run_block(target, number, maps)
        assert relative_error(actual, expected) > TOLERANCE
    for name in before:
        if name.startswith(("block_3", "block_5")):
            for old, new in zip(
                before[name], target.get_layer(name).get_weights(), strict=True
            ):
                assert_equal(new, old)


def test_gray_images_equal_color_images_with_equal_channels():
    source, target = vgg16(), hybrid(GRAY)
    port_vgg16_weights(source, target)
    images = random_images((2, *GRAY))
    expected = run_block(source, 1, images.repeat(3, axis=-1))
    actual = run_block(target, 1, images)
    assert relative_error(actual, expected) < TOLERANCE
    actual = run_block(target, 1, images[:, ::-1])
    assert relative_error(actual, expected) > TOLERANCE


def test_the_tops_can_differ():
    source = vgg16(VGG16, include_top=True, classes=5)
    target = hybrid(include_top=True, classes=3)
    top = target.get_layer("fc1").get_weights()
    port_vgg16_weights(source, target)
    assert_equal(
        target.get_layer("block4_conv3").batch_norm.beta,
        source.get_layer("block4_conv3").bias,
    )
    assert_equal(target.get_layer("fc1").kernel, top[0])


def without_bias():
    def clone(layer):
        config = layer.get_config()
        if layer.name == "block4_conv1":
            config["use_bias"] = False
        return layer.from_config(config)

    return keras.models.clone_model(vgg16(), clone_function=clone)


REJECTED = {
    "another network": (
        lambda: InceptionV3(include_top=False, input_shape=(75, 75, 3)),
        unchanged_hybrid,
        'Conv2D "block1_conv1".*model "inception_v3" with none',
    ),
    "the hybrid itself": (
        unchanged_hybrid,
        unchanged_hybrid,
        '`source` must have a Conv2D "block1_conv1".*with a ConvBN',
    ),
    "the plain network itself": (
        vgg16,
        vgg16,
        '`hybrid` must have a ConvBN "block1_conv1".*with a Conv2D',
    ),
    "a layer without a bias": (
        without_bias,
        unchanged_hybrid,
        '"block4_conv1" with the weights kernel, bias.*Conv2D with '
        r"\{'kernel': \(3, 3, 256, 512\)\}",
    ),
    "a folded hybrid": (
        vgg16,
        lambda: fold_batch_norm(unchanged_hybrid()),
        r"ConvBN.*moving_variance.*'bias': \(64,\)",
    ),
    "fewer channels": (
        lambda: vgg16(VGG16, input_shape=GRAY),
        unchanged_hybrid,
        r'"block1_conv1".*\(3, 3, 1, 64\), expected \(3, 3, 3, 64\)',
    ),
    "a file name": (lambda: "vgg16.h5", unchanged_hybrid, "source='vgg16.h5'"),
    "no model": (vgg16, lambda: None, "hybrid=None"),
}


@pytest.mark.parametrize(
    ("source", "target", "message"), REJECTED.values(), ids=REJECTED.keys()
)
def test_models_that_do_not_fit_are_rejected(source, target, message):
    source, target = source(), target()
    before = snapshot(target) if target else []
    with pytest.raises(ValueError, match=message):
        port_vgg16_weights(source, target)
    after = target.get_weights() if target else []
    for old, new in zip(before, after, strict=True):
        assert_equal(new, old)
