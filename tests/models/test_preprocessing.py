"""Images before a network and predictions after it: `keras.applications`."""

import inspect
import sys

import keras
import numpy as np
import pytest

import keras_inception_layers as plugin
from keras_inception_layers import decode_predictions, preprocess_input
from keras_inception_layers.preprocessing import MODES
from tests.helpers.networks import NETWORKS_WITH_CONVENTIONS
from tests.helpers.numeric import to_array

APPLICATIONS = {
    "VGG16": keras.applications.vgg16,
    "InceptionV3": keras.applications.inception_v3,
    "InceptionResNetV2": keras.applications.inception_resnet_v2,
}
MEAN, STD = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
# What each mode does, in float64. The means of Caffe are in the order BGR.
ORACLES = {
    "tf": lambda x: x / 127.5 - 1,
    "torch": lambda x: (x / 255 - MEAN) / STD,
    "caffe": lambda x: x[..., ::-1] - [103.939, 116.779, 123.68],
}
# Of values up to 256. Measured: 2e-5.
TOLERANCE = 1e-4
FIRST = "channels_first"
EVERY = [(name, convention) for name in MODES for convention in MODES[name]]


def images(*shape, dtype="float32"):
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def assert_close(actual, expected):
    np.testing.assert_allclose(to_array(actual), expected, atol=TOLERANCE)


@pytest.mark.parametrize(("name", "convention"), EVERY)
def test_equals_keras_applications(name, convention):
    x = images(2, 4, 5, 3)
    actual = preprocess_input(x, name, convention)
    assert_close(actual, ORACLES[MODES[name][convention]](x.astype("float64")))
    if name in APPLICATIONS:
        expected = APPLICATIONS[name].preprocess_input(x.copy())
        np.testing.assert_array_equal(actual, expected)


def test_equals_the_pipeline_of_torchvision():
    """Its network converts images in ImageNet's normalization."""
    x = images(2, 4, 5, 3)
    transformed = ORACLES["torch"](x) * (STD / 0.5) + (MEAN - 0.5) / 0.5
    for network in (plugin.GoogLeNet, plugin.InceptionV3):
        assert_close(preprocess_input(x, network, "torchvision"), transformed)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
@pytest.mark.parametrize("mode", ORACLES)
def test_arrays_and_tensors(mode, dtype):
    x = images(2, 4, 5, 3, dtype=dtype)
    expected = ORACLES[mode](x.astype("float64"))
    before = x.copy()
    for given in (x, x.tolist(), keras.ops.convert_to_tensor(x)):
        assert_close(preprocess_input(given, mode=mode), expected)
    np.testing.assert_array_equal(x, before)
    assert_close(preprocess_input(x[0], mode=mode), expected[0])
    first = preprocess_input(np.moveaxis(x, -1, 1), None, None, FIRST, mode)
    assert_close(np.moveaxis(first, 1, -1), expected)
    inputs = keras.Input((4, 5, 3), dtype=dtype)
    model = keras.Model(inputs, preprocess_input(inputs, mode=mode))
    assert_close(model(x), expected)


def test_the_table_has_every_network_and_convention():
    functions = {x for x in plugin.__all__ if x in MODES}
    assert functions == set(MODES) > set(NETWORKS_WITH_CONVENTIONS)
    for name, network in NETWORKS_WITH_CONVENTIONS.items():
        module = sys.modules[network.__module__]
        assert list(MODES[name]) == list(module.CONVENTIONS)
        parameter = inspect.signature(network).parameters["convention"]
        assert next(iter(MODES[name])) == parameter.default


def test_a_network_is_given_by_function_name_or_model():
    x = images(1, 2, 2, 3)
    model = plugin.VGG16(include_top=False, input_shape=(32, 32, 3))
    for network in (plugin.VGG16, "VGG16", "vgg16", model):
        assert_close(preprocess_input(x, network), ORACLES["caffe"](x))
    inception = preprocess_input(x, "inception_resnet_v2")
    assert_close(inception, ORACLES["tf"](x))
    # "tf" does not depend on the channels.
    gray = images(1, 2, 2, 1)
    assert_close(preprocess_input(gray, "GoogLeNet"), ORACLES["tf"](gray))


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((1, 2, 2, 3), {}, "must be one of VGG16, .*network=None. Pass"),
        ((1, 2, 2, 3), {"network": "ResNet"}, "network='ResNet'"),
        (
            (1, 2, 2, 3),
            {"network": "GoogLeNet", "convention": "timm"},
            "of GoogLeNet must be one of paper, torchvision. Received: conv",
        ),
        ((1, 2, 2, 3), {"mode": "caffee"}, "mode"),
        ((1, 2, 2, 1), {"network": "VGG16"}, r'"caffe" needs channels_last'),
        ((1, 3, 2, 2), {"mode": "torch"}, r"three.*Received.*\(1, 3, 2, 2\)"),
        ((5,), {"mode": "torch"}, r"Received the shape \(5,\)"),
    ],
)
def test_wrong_arguments_are_rejected(shape, arguments, message):
    with pytest.raises(ValueError, match=message):
        preprocess_input(images(*shape), **arguments)


def test_predictions_are_decoded(monkeypatch):
    names = {str(n): [f"n{n:08}", f"class {n}"] for n in range(1000)}
    utils = "keras.src.applications.imagenet_utils"
    monkeypatch.setattr(f"{utils}.CLASS_INDEX", names)  # is downloaded
    preds = np.zeros((2, 1000), "float32")
    preds[0, [7, 999]] = 0.25, 0.75
    preds[1, 0] = 1
    for given in (preds, keras.ops.convert_to_tensor(preds)):
        one, other = decode_predictions(given, top=2)
        assert one == [
            ("n00000999", "class 999", 0.75),
            ("n00000007", "class 7", 0.25),
        ]
        assert other[0] == ("n00000000", "class 0", 1.0)
    vgg16 = keras.applications.vgg16
    assert decode_predictions(preds) == vgg16.decode_predictions(preds)


@pytest.mark.parametrize(
    ("preds", "received"),
    [
        (np.zeros((1, 10)), r"\(1, 10\)"),
        (np.zeros(1000), r"\(1000,\)"),
        ({"predictions": np.zeros((1, 1000))}, "dict"),
    ],
)
def test_other_predictions_are_rejected(preds, received):
    with pytest.raises(ValueError, match=f"1000.*Received: {received}"):
        decode_predictions(preds)
