"""torchvision's weights in our GoogLeNet, compared with its outputs."""

import numpy as np
import pytest

from keras_inception_layers import GoogLeNet
from keras_inception_layers.porting import port_torch_weights
from tests.helpers.numeric import perturb, relative_error, to_array
from tests.helpers.torchvision_data import copy_without_scale, images, load

# Relative to the largest logit. Measured: 1.3e-6.
TOLERANCE = 1e-4
LOGITS = {"classifier_activation": None, "convention": "torchvision"}
# The feature maps of the first have odd sizes, which the two conventions round
# in different directions.
OTHER_SIZES = [(195, 230)]


@pytest.fixture(scope="module")
def torchvision():
    """The state dict of the whole network, and its outputs by our names."""
    return load("googlenet")


@pytest.fixture(scope="module")
def ported(torchvision):
    """The network with its side heads, for images of 224 x 224."""
    target = GoogLeNet(auxiliary=True, **LOGITS)
    assert port_torch_weights(torchvision[0], target) is target
    return target


@pytest.fixture(scope="module")
def at_any_size(torchvision):
    """The network without the side heads, for images of any size."""
    target = GoogLeNet(input_shape=(None, None, 3), **LOGITS)
    return port_torch_weights(torchvision[0], target)


def test_equals_torchvision(ported, torchvision):
    outputs = ("predictions", "auxiliary_1", "auxiliary_2")
    expected = {name: torchvision[1][name] for name in outputs}
    counts = [np.prod(weight.shape) for weight in ported.trainable_weights]
    assert sum(counts) == 13_004_888
    actual = ported(images(2, 224, 224))
    for name, logits in expected.items():
        assert relative_error(actual[name], logits) < TOLERANCE
        one, other = logits
        assert relative_error(one, other) > 100 * TOLERANCE
    # Each layer follows the one before, so that it affects fewer outputs.
    for index, name in enumerate(
        ("inception_4a", "inception_4d", "predictions")
    ):
        weight = ported.get_layer(name).weights[0]
        before = to_array(weight)
        perturb(weight)
        actual = ported(images(2, 224, 224))
        weight.assign(before)
        changed = {
            key
            for key, logits in expected.items()
            if relative_error(actual[key], logits) > TOLERANCE
        }
        assert changed == {outputs[0], *outputs[1 + index :]}


@pytest.mark.parametrize("size", OTHER_SIZES)
def test_equals_torchvision_at_another_size(size, at_any_size, torchvision):
    expected = torchvision[1]["{}x{}".format(*size)]
    assert relative_error(at_any_size(images(1, *size)), expected) < TOLERANCE


@pytest.mark.parametrize(
    "size", [pytest.param((224, 224), marks=pytest.mark.slow), *OTHER_SIZES]
)
def test_the_wrong_convention_differs(size, at_any_size, torchvision):
    """The weights are the same: only paddings and poolings differ."""
    target = GoogLeNet(
        input_shape=(None, None, 3),
        classifier_activation=None,
        use_batch_norm=True,
    )
    copy_without_scale(at_any_size, target)
    expected = torchvision[1].get(
        "{}x{}".format(*size), torchvision[1]["predictions"]
    )
    actual = to_array(target(images(len(expected), *size)))
    # The largest logit is 83. Measured: at least 6.9.
    assert np.max(np.abs(actual - expected)) > 1


def test_the_kernels_of_the_wrong_convention_are_rejected(torchvision):
    target = GoogLeNet(
        auxiliary=True, use_batch_norm=True, input_shape=(224, 224, 3)
    )
    with pytest.raises(
        ValueError,
        match=r'"inception3a.branch3.1.conv.weight".*is \(3, 3, 16, 32\), '
        r"expected \(5, 5, 16, 32\).*Build `target` with the convention",
    ):
        port_torch_weights(torchvision[0], target)


def test_side_heads_fit_images_of_every_size(torchvision):
    """They pool to 4 x 4 regions at any size; other kernels are rejected."""
    target = GoogLeNet(auxiliary=True, input_shape=(80, 96, 3), **LOGITS)
    port_torch_weights(torchvision[0], target)
    name = "aux2.fc1.weight"
    state = {**torchvision[0], name: torchvision[0][name][:, :-1]}
    with pytest.raises(
        ValueError, match=rf'"{name}".*\(2047, 1024\), expected'
    ):
        port_torch_weights(state, target)
