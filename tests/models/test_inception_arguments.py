"""The arguments that the Inception networks share.

What they have from the same functions is tested with GoogLeNet, which takes the
least time to build.
"""

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
from tests.helpers.networks import NETWORKS_WITH_CONVENTIONS, module_of
from tests.helpers.numeric import (
    assert_equal,
    random_images,
    randomize,
    to_array,
)

# Per network: the smallest and the default height and width, the paper's
# dropout, and the number of trainable parameters of each convention.
NETWORKS = {
    GoogLeNet: (1, 224, 0.4, {"paper": 6_998_552, "torchvision": 6_624_904}),
    InceptionResNetV2: (
        *(75, 299, 0.2),
        {"paper": 55_813_192, "keras": 55_813_192, "timm": 55_843_464},
    ),
    InceptionV3: (
        *(75, 299, 0.2),
        {"paper": 23_817_352, "keras": 23_817_352, "torchvision": 23_834_568},
    ),
    InceptionV4: (
        *(75, 299, 0.2),
        {"paper": 42_648_232, "timm": 42_679_816},
    ),
}
SMALL = {"include_top": False, "input_shape": (75, 75, 1)}


def test_every_network_with_conventions_is_tested():
    assert set(NETWORKS) == set(NETWORKS_WITH_CONVENTIONS.values())
    for network, (*_, parameters) in NETWORKS.items():
        assert list(parameters) == list(module_of(network).CONVENTIONS)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("options", "output_shape"),
    [
        ({"pooling": "max"}, (None, 1024)),
        ({"include_top": True, "classes": 7}, (None, 7)),
        ({"include_top": True, "input_shape": (None, None, 3)}, (None, 1000)),
        ({"input_shape": None}, (None, None, None, 1024)),
        ({"input_tensor": keras.Input((80, 75, 2))}, (None, 3, 3, 1024)),
    ],
    ids=str,
)
def test_output_shape(options, output_shape):
    assert GoogLeNet(**{**SMALL, **options}).output_shape == output_shape


@pytest.mark.one_backend
def test_a_model_of_unknown_size_accepts_any_size():
    options = {"pooling": "avg", "include_top": False}
    model = randomize(GoogLeNet(**options, input_shape=None))
    assert model.input_shape == (None, None, None, 3)
    fixed = GoogLeNet(**options, input_shape=(75, 80, 3))
    fixed.set_weights(model.get_weights())
    images = random_images((1, 75, 80, 3))
    assert_equal(model(images), fixed(images))


@pytest.mark.one_backend
def test_default_shape_follows_the_data_format():
    keras.config.set_image_data_format("channels_first")
    model = GoogLeNet()
    assert model.input_shape == (None, 3, 224, 224)
    assert GoogLeNet(input_shape=None).input_shape == model.input_shape
    assert model.output_shape == (None, 1000)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("network", "convention"),
    [
        pytest.param(
            network,
            convention,
            marks=[] if network is GoogLeNet else pytest.mark.slow,
        )
        for network, (*_, parameters) in NETWORKS.items()
        for convention in parameters
    ],
)
def test_network_at_its_defaults(network, convention):
    """Shapes, parameters, and what the convention sets."""
    _, size, dropout, parameters = NETWORKS[network]
    model = network(convention=convention)
    assert model.input_shape == (None, size, size, 3)
    assert model.output_shape == (None, 1000)
    assert model.layers[-1].activation is keras.activations.softmax
    weights = model.trainable_weights
    count = sum(np.prod(weight.shape) for weight in weights)
    assert count == parameters[convention]
    expected = module_of(network).CONVENTIONS[convention]
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
    if convention == "paper":
        assert dropouts == [dropout]
    initializer = keras.initializers.get(expected.kernel_initializer)
    kernel = model.get_layer("predictions").kernel
    deviation = np.std(to_array(initializer(kernel.shape)))
    assert np.std(to_array(kernel)) == pytest.approx(deviation, rel=0.02)


@pytest.mark.one_backend
@pytest.mark.parametrize("network", NETWORKS)
def test_invalid_conventions_and_shapes_are_rejected(network):
    smallest, *_ = NETWORKS[network]
    for options, message in (
        ({"convention": "torch"}, 'one of "paper".*convention=.torch.'),
        ({"input_shape": (75, 0, 3)}, rf"least {smallest}.* \(75, 0, 3\)"),
        ({"input_shape": (75, 75)}, r"Received: \(75, 75\)"),
    ):
        with pytest.raises(ValueError, match=message):
            network(**{**SMALL, **options})


@pytest.mark.one_backend
@pytest.mark.parametrize("network", [InceptionV3, InceptionResNetV2])
def test_imagenet_weights_that_cannot_fit_are_not_downloaded(
    network, monkeypatch
):
    def loader(**options):
        raise AssertionError("downloaded")

    monkeypatch.setattr(keras.applications, network.__name__, loader)
    *fitting, other = module_of(network).CONVENTIONS
    options = {"weights": "imagenet", "input_shape": (75, 75, 3)}
    with pytest.raises(ValueError, match=f'"paper" or "keras".*{other}'):
        network(**options, convention=other)
    for wrong in (
        {"input_shape": (75, 75, 1)},
        {"input_tensor": keras.Input((75, 75, 1))},
    ):
        with pytest.raises(ValueError, match=r"three channels.*\(75, 75, 1\)"):
            network(**{**options, **wrong})
    for convention in fitting if network is InceptionV3 else ():
        with pytest.raises(AssertionError, match="downloaded"):
            network(**options, convention=convention)


@pytest.mark.one_backend
@pytest.mark.parametrize("network", [GoogLeNet, VGG16Inception])
def test_networks_without_published_weights_reject_imagenet(network):
    with pytest.raises(ValueError, match="Received: weights='imagenet'"):
        network(**SMALL, weights="imagenet")
