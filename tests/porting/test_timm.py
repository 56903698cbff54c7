"""timm's weights in our networks, compared with logits from timm."""

from ast import literal_eval

import keras
import numpy as np
import pytest

from keras_inception_layers import VGG16, InceptionResNetV2, InceptionV4
from keras_inception_layers.porting import port_torch_weights
from tests.helpers.numeric import (
    assert_equal,
    check_equal,
    snapshot,
    to_array,
)
from tests.helpers.timm_logits import (
    FILE,
    NETWORKS,
    SIZES,
    seeded_images,
    seeded_tensor,
)

# Relative to the largest logit. Measured: 1.2e-6; 4e-3 with a perturbed kernel.
TOLERANCE = 1e-4
MODELS = dict(zip(NETWORKS, (InceptionV4, InceptionResNetV2), strict=True))
OPTIONS = {"classifier_activation": None, "convention": "timm"}
SMALL = {"include_top": False, "input_shape": (75, 75, 3)}


def state_dict(name):
    with np.load(FILE) as file:
        names, shapes = file[f"{name}_names"], file[f"{name}_shapes"]
    return {
        str(key): seeded_tensor(key, literal_eval(str(shape)))
        for key, shape in zip(names, shapes, strict=True)
    }


@pytest.fixture(scope="module")
def tensors():
    return {name: state_dict(name) for name in NETWORKS}


@pytest.fixture(scope="module")
def topless(tensors):
    return {
        name: tensor
        for name, tensor in tensors["inception_v4"].items()
        if not name.startswith("last_linear")
    }


@pytest.fixture(scope="module")
def target():
    return InceptionV4(**SMALL, convention="timm")


def without(name, tensors):
    return {key: tensors[key] for key in tensors if key != name}


@pytest.mark.parametrize(
    ("name", "size"),
    [
        pytest.param(
            name,
            size,
            marks=[]
            if (name, size) == ("inception_v4", SIZES[0])
            else pytest.mark.slow,
        )
        for name in NETWORKS
        for size in SIZES
        # Each network at one of the sizes.
        if (name == "inception_v4") == (size == SIZES[0])
    ],
)
def test_logits_equal_those_of_timm(name, size, tensors):
    model = MODELS[name](input_shape=(size, size, 3), **OPTIONS)
    counters = {"features.0.bn.num_batches_tracked": np.array(3)}
    assert port_torch_weights(tensors[name] | counters, model) is model
    trainable = sum(np.prod(w.shape) for w in model.trainable_weights)
    assert trainable == sum(
        tensor.size
        for key, tensor in tensors[name].items()
        if "running_" not in key
    )
    with np.load(FILE) as file:
        expected = file[f"{name}_{size}"]
    images = seeded_images(size)
    check_equal(model, images, expected, TOLERANCE, model.layers[-3].weights[0])
    for weight in model.weights:  # the convention without a scale
        if weight.name == "gamma":
            weight.assign(keras.ops.ones_like(weight))
    assert np.abs(to_array(model(images)) - expected).max() > 1


REJECTED = {
    "an extra tensor": (
        lambda x: x | {"AuxLogits.x": np.zeros((3, 4))},
        'in `target`: "AuxLogits.x". Build',
    ),
    "a missing tensor": (
        lambda x: without("features.7.branch0.bn.bias", x),
        'lacks "features.7.branch0.bn.bias"',
    ),
    "another shape": (
        lambda x: x | {"features.0.conv.weight": np.zeros((32, 1, 3, 3))},
        r'"features.0.conv.weight".*\(3, 3, 1, 32\), expected.*3, 3, 3, 32\)',
    ),
    "a top": (
        lambda x: x | {"last_linear.bias": np.zeros(10)},
        r'"last_linear.bias".*include_top',
    ),
}


@pytest.mark.parametrize(
    ("change", "message"), REJECTED.values(), ids=REJECTED.keys()
)
def test_tensors_that_do_not_fit_are_rejected(change, message, topless, target):
    before = snapshot(target)
    with pytest.raises(ValueError, match=message):
        port_torch_weights(change(topless), target)
    for old, new in zip(before, target.get_weights(), strict=True):
        assert_equal(new, old)


def test_tensors_without_the_top_fit_a_network_without_it(topless, target):
    port_torch_weights(topless, target)
    kernel = topless["features.0.conv.weight"].transpose(2, 3, 1, 0)
    assert_equal(target.weights[0], kernel)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InceptionV4(**SMALL), '"features.0.bn.weight".*convention'),
        (
            lambda: VGG16(False, input_shape=(32, 32, 3)),
            'Received the model "vgg16"',
        ),
        (lambda: keras.layers.Dense(3), "target=<Dense"),
    ],
    ids=["no scale", "another network", "a layer"],
)
def test_a_target_that_does_not_fit_is_rejected(make, message, topless):
    with pytest.raises(ValueError, match=message):
        port_torch_weights(topless, make())
