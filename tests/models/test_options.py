"""The options that the networks pass on to their layers."""

import inspect

import keras
import numpy as np
import pytest

from keras_inception_layers import VGG16, GoogLeNet, VGG16Inception
from keras_inception_layers.models.conventions import (
    NetworkOptions,
    PlainOptions,
    make_settings,
)
from tests.helpers.networks import NETWORKS, module_of
from tests.helpers.numeric import to_array

pytestmark = pytest.mark.one_backend

QUICK = ("VGG16", "VGG16Inception", "GoogLeNet")
every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
def test_arguments_are_in_the_order_of_keras_applications(name):
    ours = inspect.signature(NETWORKS[name]).parameters.values()
    theirs = inspect.signature(keras.applications.VGG16).parameters
    order = [x.name for x in ours if x.kind is x.POSITIONAL_OR_KEYWORD]
    assert order == list(theirs)
    assert not any(x.kind is x.VAR_POSITIONAL for x in ours)


SHAPE = (32, 32, 3)


@pytest.mark.parametrize("network", [VGG16, VGG16Inception])
@pytest.mark.parametrize(
    "arguments",
    [(None, SHAPE), (None, SHAPE, "max", 10), (keras.Input(SHAPE),)]
    + [(None, None, "max"), (None, list(SHAPE))],
    ids=str,
)
def test_the_order_of_the_notebook_is_explained(network, arguments):
    with pytest.raises(ValueError, match="order of `keras.applications`: inc"):
        network(False, *arguments)


def options_of(name):
    plain = {
        "dropout": 0.25,
        # Layers that share an unseeded object would start with equal kernels.
        "kernel_initializer": keras.initializers.RandomNormal(stddev=0.1),
        "bias_initializer": keras.initializers.Constant(0.125),
        "kernel_regularizer": keras.regularizers.L2(1e-3),
        "bias_regularizer": keras.regularizers.L2(1e-4),
        "kernel_constraint": keras.constraints.MaxNorm(3.0),
        "bias_constraint": keras.constraints.MaxNorm(2.0),
    }
    if name == "VGG16":
        return plain
    norm = {"momentum": 0.5, "epsilon": 0.01, "scale": True}
    return {**plain, **norm, "use_batch_norm": True, "synchronized": True}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(x, marks=[] if x in QUICK else pytest.mark.slow)
        for x in NETWORKS
    ],
)
def test_every_layer_has_the_options(name):
    network, options = NETWORKS[name], options_of(name)
    known = PlainOptions if name == "VGG16" else NetworkOptions
    assert set(options) == known.__optional_keys__
    heads = name in ("GoogLeNet", "VGG16Inception")
    size = 80 if heads else max(32, module_of(network).MIN_SIZE)
    extra = {"auxiliary": True} if heads else {}
    model = network(input_shape=(size, size, 1), classes=3, **extra, **options)
    layers = list(model._flatten_layers())
    with_kernel = [x for x in layers if hasattr(x, "kernel")]
    kernels = [to_array(x.kernel) for x in with_kernel]
    for layer in with_kernel:
        assert layer.kernel_regularizer.l2 == np.float32(1e-3)
        assert layer.kernel_constraint.max_value == 3.0
        assert layer.kernel_initializer.stddev == 0.1
        if layer.use_bias:
            assert layer.bias_constraint.max_value == 2.0
            assert np.all(to_array(layer.bias) == 0.125)
    # In blocks, side heads and tops no two kernels start equal.
    assert len({x.tobytes() for x in kernels}) == len(kernels)
    norms = [x for x in layers if type(x) is keras.layers.BatchNormalization]
    assert bool(norms) == (name != "VGG16")
    for norm in norms:
        assert (norm.momentum, norm.epsilon, norm.scale) == (0.5, 0.01, True)
        assert np.all(to_array(norm.beta) == 0.125)
    rates = [
        x.rate for x in model.layers if isinstance(x, keras.layers.Dropout)
    ]
    assert rates == [0.25] * (2 if name.startswith("VGG16") else 1)


def test_an_option_that_is_none_is_as_in_the_convention():
    options = {"convention": "torchvision", "include_top": False}
    options["input_shape"] = (32, 32, 1)
    for given, expected in (
        ({}, 0.9),
        ({"momentum": None}, 0.9),
        ({"momentum": 0.0}, 0.0),
    ):
        model = GoogLeNet(**options, **given)
        assert model.get_layer("conv_1").momentum == expected
    none = dict.fromkeys(NetworkOptions.__optional_keys__)
    convention = module_of(GoogLeNet).CONVENTIONS["torchvision"]
    assert make_settings("GoogLeNet", convention, none) == make_settings(
        "GoogLeNet", convention, {}
    )


@pytest.mark.parametrize(
    ("network", "options", "error", "message"),
    [
        (VGG16, {"momentum": 0.9}, TypeError, "VGG16 has no argument `mom"),
        (GoogLeNet, {"momentun": 0.9}, TypeError, "`momentun`.*momentum"),
        (GoogLeNet, {"momentum": 2}, ValueError, "Received: momentum=2"),
        (GoogLeNet, {"dropout": 2}, ValueError, "rate=2"),
        (VGG16, {"kernel_initializer": "he"}, ValueError, "Could not|Unknown"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_invalid_options_are_rejected(network, options, error, message):
    with pytest.raises(error, match=message):
        network(input_shape=(32, 32, 1), **options)


def test_the_hybrid_without_batch_norm_has_biases():
    model = VGG16Inception(False, input_shape=(32, 32, 1), use_batch_norm=False)
    assert {weight.name for weight in model.weights} == {"kernel", "bias"}
