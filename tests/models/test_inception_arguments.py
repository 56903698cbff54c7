"""The arguments that the Inception networks share.

The quick tests use GoogLeNet, which takes the least time to build. The larger
networks repeat most of them in CI.
"""

from typing import NamedTuple

import keras
import numpy as np
import pytest

from keras_inception_layers import (
    GoogLeNet,
    InceptionResNetV2,
    InceptionV3,
    InceptionV4,
    VGG16Inception,
)
from keras_inception_layers.models import (
    googlenet,
    inception_resnet_v2,
    inception_v3,
    inception_v4,
)
from keras_inception_layers.models import network as network_module
from tests.helpers.networks import NETWORKS_WITH_CONVENTIONS
from tests.helpers.numeric import (
    assert_equal,
    perturb,
    random_images,
    randomize,
    to_array,
)


class Facts(NamedTuple):
    """Expected properties of a network.

    Args:
        conventions: the table of its conventions.
        smallest: smallest height and width per convention.
        size: default height and width.
        dropout: default dropout rate.
        grid: height and width of the feature maps of 75 x 75 images.
        channels: number of channels of these feature maps.
    """

    conventions: dict
    smallest: dict
    size: int
    dropout: float
    grid: int
    channels: int


NETWORKS = {
    GoogLeNet: Facts(
        googlenet.CONVENTIONS,
        {"paper": 1, "torchvision": 15},
        224,
        0.4,
        3,
        1024,
    ),
    InceptionResNetV2: Facts(
        inception_resnet_v2.CONVENTIONS,
        dict.fromkeys(("paper", "keras", "timm"), 75),
        299,
        0.2,
        1,
        1536,
    ),
    InceptionV3: Facts(
        inception_v3.CONVENTIONS,
        dict.fromkeys(("paper", "keras", "torchvision"), 75),
        299,
        0.2,
        1,
        2048,
    ),
    InceptionV4: Facts(
        inception_v4.CONVENTIONS,
        dict.fromkeys(("paper", "timm"), 75),
        299,
        0.2,
        1,
        1536,
    ),
}
every_network = pytest.mark.parametrize(
    "network",
    [
        pytest.param(x, marks=[] if x is GoogLeNet else pytest.mark.slow)
        for x in NETWORKS
    ],
)
# For what the networks have from one function: the smallest, and the largest
# in CI.
two_networks = pytest.mark.parametrize(
    "network",
    [GoogLeNet, pytest.param(InceptionResNetV2, marks=pytest.mark.slow)],
)
SMALL = {"include_top": False, "input_shape": (75, 75, 1)}


def test_every_network_with_conventions_is_tested():
    assert set(NETWORKS) == set(NETWORKS_WITH_CONVENTIONS.values())


@pytest.mark.one_backend
@every_network
def test_default_shape_and_dropout(network):
    model = network()
    size = NETWORKS[network].size
    assert model.input_shape == (None, size, size, 3)
    assert model.output_shape == (None, 1000)
    assert model.get_layer("dropout").rate == NETWORKS[network].dropout
    assert model.layers[-1].activation is keras.activations.softmax


@pytest.mark.one_backend
@every_network
def test_output_shape(network):
    """Of the larger networks, the shapes that their stages decide."""
    grid, channels = NETWORKS[network].grid, NETWORKS[network].channels
    own = (
        ({}, (None, grid, grid, channels)),
        (
            {"input_shape": (None, 107, 3)},
            (None, None, grid + 1, channels),
        ),
    )
    common = (
        ({"pooling": "max"}, (None, channels)),
        ({"include_top": True, "classes": 7}, (None, 7)),
        (
            {"include_top": True, "input_shape": (None, None, 3)},
            (None, 1000),
        ),
        ({"input_shape": None}, (None, None, None, channels)),
        (
            {"input_tensor": keras.Input((80, 75, 2))},
            (None, grid, grid, channels),
        ),
    )
    for options, output_shape in (
        *own,
        *(common if network is GoogLeNet else ()),
    ):
        model = network(**{**SMALL, **options})
        assert model.output_shape == output_shape, options


@two_networks
def test_a_model_of_unknown_size_accepts_any_size(network):
    options = {"pooling": "avg", "include_top": False}
    model = randomize(network(**options, input_shape=None))
    assert model.input_shape == (None, None, None, 3)
    fixed = network(**options, input_shape=(75, 80, 3))
    fixed.set_weights(model.get_weights())
    images = random_images((1, 75, 80, 3))
    assert_equal(model(images), fixed(images))


CONVENTIONS = [
    pytest.param(
        network,
        convention,
        marks=[] if network is GoogLeNet else pytest.mark.slow,
    )
    for network, facts in NETWORKS.items()
    # Only the conventions of GoogLeNet have different smallest sizes.
    for convention in list(facts.conventions)[: len({*facts.smallest.values()})]
]


@pytest.mark.one_backend
@pytest.mark.parametrize(("network", "convention"), CONVENTIONS)
def test_the_smallest_size_cannot_be_smaller(network, convention, monkeypatch):
    """One pixel less is rejected, and would leave an empty feature map."""
    smallest = NETWORKS[network].smallest[convention]
    options = {"include_top": False, "convention": convention}
    model = network(**options, input_shape=(smallest, smallest, 1))
    outputs = model(random_images((1, smallest, smallest, 1)))
    assert outputs.shape[:3] == (1, 1, 1)
    shape = (smallest, smallest - 1, 1)
    with pytest.raises(ValueError, match=rf"width at least {smallest}\."):
        network(**options, input_shape=shape)
    if smallest > 1:
        monkeypatch.setattr(network_module, "_fits", lambda *arguments: True)
        with pytest.raises(ValueError, match="zero or negative"):
            network(**options, input_shape=shape)


@pytest.mark.one_backend
@two_networks
def test_default_shape_follows_the_data_format(network):
    keras.config.set_image_data_format("channels_first")
    model = network()
    size = NETWORKS[network].size
    assert model.input_shape == (None, 3, size, size)
    assert network(input_shape=None).input_shape == model.input_shape
    assert model.output_shape == (None, 1000)


@pytest.mark.one_backend
@every_network
def test_conventions_set_batch_norm_kernels_and_dropout(network):
    for name, expected in NETWORKS[network].conventions.items():
        model = network(True, None, None, (75, 75, 3), convention=name)
        norms = [
            layer
            for layer in model._flatten_layers()
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        names = ("scale", "epsilon", "momentum")
        actual = {tuple(getattr(norm, x) for x in names) for norm in norms}
        if getattr(expected, "use_batch_norm", True):
            assert actual == {tuple(getattr(expected, x) for x in names)}
        else:
            assert not norms
        dropouts = [x.rate for x in model.layers if x.name == "dropout"]
        assert dropouts == [expected.dropout] * bool(expected.dropout)
        initializer = keras.initializers.get(expected.kernel_initializer)
        kernel = model.get_layer("predictions").kernel
        deviation = np.std(to_array(initializer(kernel.shape)))
        assert np.std(to_array(kernel)) == pytest.approx(deviation, rel=0.02)


@two_networks
def test_saved_and_loaded_networks_are_equal(network, tmp_path):
    model = randomize(network(**SMALL))
    images = random_images((1, 75, 75, 1))
    expected = model(images)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_equal(loaded(images), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    again = network(**SMALL, weights=tmp_path / "model.weights.h5")
    assert_equal(again(images), expected)
    perturb(again.weights[0])
    assert np.any(to_array(again(images)) != to_array(expected))


@pytest.mark.one_backend
@every_network
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convention": "torch"}, 'one of "paper".*convention=.torch.'),
        ({"input_shape": (75, 0, 3)}, r"at least {smallest}.* \(75, 0, 3\)"),
        ({"input_shape": (75, 75)}, r"Received: \(75, 75\)"),
        ({"pooling": "sum"}, "Received: pooling='sum'"),
        ({"include_top": True, "classes": 0}, "Received: classes=0"),
        ({"weights": "nowhere.h5"}, "Received: weights='nowhere.h5'"),
    ],
    ids=str,
)
def test_invalid_arguments_are_rejected(network, options, message):
    smallest = NETWORKS[network].smallest["paper"]
    message = message.replace("{smallest}", str(smallest))
    with pytest.raises(ValueError, match=message):
        network(**{**SMALL, **options})


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "network",
    [InceptionV3, pytest.param(InceptionResNetV2, marks=pytest.mark.slow)],
)
def test_imagenet_weights_that_cannot_fit_are_not_downloaded(
    network, monkeypatch
):
    def loader(**options):
        raise AssertionError("downloaded")

    monkeypatch.setattr(keras.applications, network.__name__, loader)
    *fitting, other = NETWORKS[network].conventions
    options = {"weights": "imagenet", "input_shape": (75, 75, 3)}
    with pytest.raises(ValueError, match=f'"paper" or "keras".*{other}'):
        network(**options, convention=other)
    for wrong in (
        {"input_shape": (75, 75, 1)},
        {"input_tensor": keras.Input((75, 75, 1))},
    ):
        with pytest.raises(ValueError, match=r"three channels.*\(75, 75, 1\)"):
            network(**{**options, **wrong})
    for convention in fitting:
        with pytest.raises(AssertionError, match="downloaded"):
            network(**options, convention=convention)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "network",
    [
        GoogLeNet,
        VGG16Inception,
        pytest.param(InceptionV4, marks=pytest.mark.slow),
    ],
)
def test_networks_without_published_weights_reject_imagenet(network):
    with pytest.raises(ValueError, match="Received: weights='imagenet'"):
        network(**SMALL, weights="imagenet")
