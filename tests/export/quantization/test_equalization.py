"""Equal channels, and a model that computes what it computed."""

import keras
import numpy as np
import pytest

from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.model import loading as prepare
from keras_inception_export.quantization.channel_flows import (
    channel_flows,
    channel_peaks,
)
from keras_inception_export.quantization.equalization import (
    channel_factors,
    equalize,
)
from keras_inception_layers import ConvBN, InceptionV1Block
from tests.helpers.numeric import random_images, randomize

IMAGES = random_images((12, 12, 12, 2))


def inference_model_of(model):
    return prepare.to_inference_model(
        prepare.functional(randomize(model)), None
    )


def variables(inference_model):
    return {
        variable.path: variable for variable in inference_model.model.variables
    }


def scale(variable, axis, channels, factor):
    value = keras.ops.convert_to_numpy(variable).copy()
    np.moveaxis(value, axis, 0)[channels] *= factor
    variable.assign(value)


def harden(inference_model, kernel, channels, readers, factor=1000.0):
    """Make channels of one kernel large, and undo it where they are read."""
    held = variables(inference_model)
    scale(held[kernel], -1, channels, factor)
    scale(held[kernel.replace("/kernel", "/bias")], -1, channels, factor)
    for reader, first in readers.items():
        places = [first + channel for channel in channels]
        scale(held[reader], -2, places, 1 / factor)


def peaks(kernel):
    return np.abs(keras.ops.convert_to_numpy(kernel)).max(axis=(0, 1, 2))


def blocks():
    image = keras.Input((12, 12, 2), name="image")
    x = ConvBN(6, 3, name="stem")(image)
    x = InceptionV1Block(((4,), (4, 6), (2, 4), (4,)), name="block")(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = ConvBN(5, 3, name="next")(x)
    x = keras.layers.GlobalMaxPooling2D()(x)
    return keras.Model(image, keras.layers.Dense(3, name="scores")(x))


# A kernel, and the kernels that read its channels, with the first channel.
HARD = {
    "stem/conv/kernel": {
        f"block/branch_{i}/conv_0/conv/kernel": 0 for i in range(4)
    },
    "block/branch_0/conv_0/conv/kernel": {"next/conv/kernel": 0},
    "block/branch_1/conv_1/conv/kernel": {"next/conv/kernel": 4},
    "block/branch_3/conv_0/conv/kernel": {"next/conv/kernel": 14},
    "next/conv/kernel": {"scores/kernel": 0},
}


@pytest.mark.parametrize("kernel", HARD)
def test_hard_channels_are_found_and_nothing_changes(kernel, tmp_path):
    inference_model = inference_model_of(blocks())
    held = variables(inference_model)
    assert set(HARD[kernel]) <= set(held)
    harden(inference_model, kernel, [1], HARD[kernel])
    before = keras.ops.convert_to_numpy(inference_model.model(IMAGES))
    peak = peaks(held[kernel])
    assert equalize(inference_model, {"image": IMAGES}, tmp_path) >= 1
    np.testing.assert_array_equal(inference_model.model(IMAGES), before)
    after = peaks(held[kernel])
    assert peak[1] / after[1] > 100
    assert equalize(inference_model, {"image": IMAGES}, tmp_path) == 0


def test_a_factor_that_is_not_undone_would_show():
    inference_model = inference_model_of(blocks())
    before = keras.ops.convert_to_numpy(inference_model.model(IMAGES))
    harden(inference_model, "stem/conv/kernel", [1], {})
    assert np.abs(inference_model.model(IMAGES) - before).max() > 1


def test_no_channel_is_half_as_large_as_another(tmp_path):
    inference_model = inference_model_of(blocks())
    before = keras.ops.convert_to_numpy(inference_model.model(IMAGES))

    def spread():
        graph = float_graph(inference_model)
        flows = channel_flows(graph, variables(inference_model))
        found = channel_peaks(graph, flows, {"image": IMAGES}, tmp_path)
        alive = [sizes[sizes > 0] for sizes in found.values()]
        return max(sizes.max() / sizes.min() for sizes in alive)

    assert spread() > 2.5
    equalize(inference_model, {"image": IMAGES}, tmp_path)
    assert spread() <= 2
    np.testing.assert_array_equal(inference_model.model(IMAGES), before)


@pytest.mark.parametrize(
    ("sizes", "factors"),
    [
        ([1, 1, 1], [1, 1, 1]),
        ([1, 1000, 1], [1, 512, 1]),
        ([8, 3, 2, 1.5, 1], [4, 2, 1, 1, 0.5]),
        ([1, 1, 1e-6], [1, 1, 1 / 16]),
        ([0, 4, 4, 1], [1, 1, 1, 0.25]),
        ([0, 0], [1, 1]),
    ],
)
def test_factors_are_powers_of_two(sizes, factors):
    np.testing.assert_array_equal(channel_factors(np.array(sizes)), factors)


def flows_of(end):
    image = keras.Input((12, 12, 2), name="image")
    x = keras.layers.Conv2D(4, 3, name="hard")(image)
    model = keras.Model(image, end(x))
    inference_model = inference_model_of(model)
    return channel_flows(
        float_graph(inference_model), variables(inference_model)
    )


def shared(x):
    layer = keras.layers.Conv2D(10, 1, name="shared")
    return layer(x), layer(keras.layers.ReLU()(x))


BLOCKED = {
    "output": lambda x: x,
    "sum": lambda x: keras.layers.Conv2D(2, 1)(x + keras.ops.flip(x, 1)),
    "swish": lambda x: keras.layers.Conv2D(2, 1)(keras.ops.silu(x)),
    "clipped": lambda x: keras.layers.Conv2D(2, 1)(keras.ops.relu6(x)),
    "flattened": lambda x: keras.layers.Dense(2)(keras.layers.Flatten()(x)),
    "grouped": keras.layers.Conv2D(4, 1, groups=2),
    "shared": shared,
    "shifted": lambda x: keras.layers.Conv2D(2, 1)(
        keras.layers.ReLU()(keras.layers.Rescaling(0.5, offset=1)(x))
    ),
    "normalized": lambda x: keras.layers.Conv2D(2, 1)(
        keras.layers.BatchNormalization()(keras.layers.Dropout(0.5)(x))
    ),
}


@pytest.mark.parametrize("end", BLOCKED.values(), ids=BLOCKED)
def test_channels_that_something_else_reads_are_left_alone(end):
    assert "hard/kernel" not in [flow.kernel for flow in flows_of(end)]


@pytest.mark.parametrize(
    "end",
    [
        keras.layers.Conv2D(2, 1),
        keras.layers.DepthwiseConv2D(3, activation="relu"),
    ],
    ids=["convolution", "depthwise"],
)
def test_channels_that_kernels_read_can_be_scaled(end):
    assert "hard/kernel" in [flow.kernel for flow in flows_of(end)]


class Normalized(keras.layers.Layer):
    """A convolution whose batch norm stays a step of its own in the inference model."""

    def __init__(self, bias=False, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(4, 3, use_bias=bias, name="hard")
        self.norm = keras.layers.BatchNormalization(name="norm")

    def build(self, shape):
        self.conv.build(shape)
        self.norm.build(self.conv.compute_output_shape(shape))

    def call(self, inputs):
        return keras.ops.relu(self.norm(self.conv(inputs)))


@pytest.mark.parametrize("bias", [False, True])
def test_arithmetic_within_a_layer_is_not_broken(bias, tmp_path):
    image = keras.Input((12, 12, 2), name="image")
    x = Normalized(bias, name="outer")(image)
    inference_model = inference_model_of(
        keras.Model(image, keras.layers.Conv2D(2, 1)(x))
    )
    scale(variables(inference_model)["outer/hard/kernel"], -1, [1], 1000.0)
    before = keras.ops.convert_to_numpy(inference_model.model(IMAGES))
    assert equalize(inference_model, {"image": IMAGES}, tmp_path) == 0
    np.testing.assert_array_equal(inference_model.model(IMAGES), before)


@pytest.mark.parametrize("batch_size", [None, 3, 16])
def test_few_samples_fill_a_batch(batch_size, tmp_path):
    model = prepare.functional(randomize(blocks()))
    inference_model = prepare.to_inference_model(model, batch_size)
    harden(inference_model, "stem/conv/kernel", [1], HARD["stem/conv/kernel"])
    kernel = variables(inference_model)["stem/conv/kernel"]
    before = peaks(kernel)
    equalize(inference_model, {"image": IMAGES[:4]}, tmp_path)
    assert before[1] / peaks(kernel)[1] > 100
