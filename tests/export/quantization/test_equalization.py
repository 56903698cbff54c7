"""Equalized models have channels of similar size and compute the same."""

import keras
import numpy as np
import pytest

from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from keras_inception_export.quantization.calibration_statistics import (
    channel_peaks,
)
from keras_inception_export.quantization.channel_flows import channel_flows
from keras_inception_export.quantization.equalization import (
    channel_factors,
    equalize,
)
from keras_inception_layers import ConvBN, InceptionV1Block
from tests.helpers.numeric import random_images, randomize, to_array

IMAGES = random_images((12, 12, 12, 2))
FEEDS = {"image": IMAGES}


def variables_of(inference_model):
    return {v.path: v for v in inference_model.model.variables}


def outputs_of(inference_model):
    return to_array(inference_model.model(IMAGES))


def scale(variable, axis, channel, factor):
    value = to_array(variable)
    np.moveaxis(value, axis, 0)[channel] *= factor
    variable.assign(value)


def enlarge(inference_model, kernel, readers, factor=1000.0):
    """Scale channel 1 of a kernel, and the readers by the reciprocal."""
    variables = variables_of(inference_model)
    scale(variables[kernel], -1, 1, factor)
    scale(variables[kernel.replace("/kernel", "/bias")], -1, 1, factor)
    for reader, first in readers.items():
        scale(variables[reader], -2, first + 1, 1 / factor)


def peak(inference_model, kernel):
    """Return the largest weight of channel 1."""
    return np.abs(to_array(variables_of(inference_model)[kernel])[..., 1]).max()


def spread(inference_model, workdir):
    """Return the largest ratio of two channels of one activation."""
    graph = float_graph(inference_model)
    flows = channel_flows(graph, variables_of(inference_model))
    names = [flow.value for flow in flows]
    peaks = channel_peaks(graph, names, FEEDS, workdir)
    active = [sizes[sizes > 0] for sizes in peaks.values()]
    return max(sizes.max() / sizes.min() for sizes in active)


# The kernels that read the channels of a kernel, with the first channel.
READERS = {
    "stem/conv/kernel": {
        f"block/branch_{i}_conv_0/conv/kernel": 0 for i in range(4)
    },
    "block/branch_0_conv_0/conv/kernel": {"next/conv/kernel": 0},
    "block/branch_1_conv_1/conv/kernel": {"next/conv/kernel": 4},
    "block/branch_3_conv_0/conv/kernel": {"next/conv/kernel": 14},
    "next/conv/kernel": {"scores/kernel": 0},
}


@pytest.fixture(scope="module")
def original():
    image = keras.Input((12, 12, 2), name="image")
    x = ConvBN(6, 3, name="stem")(image)
    x = InceptionV1Block(((4,), (4, 6), (2, 4), (4,)), name="block")(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = ConvBN(5, 3, name="next")(x)
    x = keras.layers.GlobalMaxPooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, name="scores")(x))
    return to_inference_model(functional(randomize(model)))


@pytest.fixture(scope="module")
def hard(original):
    """The same function with channel 1 of five kernels 1000 times larger."""
    copy = original.copy()
    for kernel, readers in READERS.items():
        enlarge(copy, kernel, readers)
    return copy


@pytest.fixture(scope="module")
def equalized(hard, tmp_path_factory):
    """The equalized copy, and the number of scaled channels."""
    return equalize(hard, FEEDS, tmp_path_factory.mktemp("equalize"))


def test_equalizing_changes_no_bit_of_the_outputs(hard, equalized):
    np.testing.assert_array_equal(outputs_of(equalized[0]), outputs_of(hard))


def test_the_model_itself_is_unchanged(original, hard, equalized):
    for kernel in READERS:
        ratio = peak(hard, kernel) / peak(original, kernel)
        assert ratio == pytest.approx(1000, rel=1e-4)


@pytest.mark.parametrize("kernel", READERS)
def test_large_channels_are_reduced(kernel, hard, equalized):
    copy, number = equalized
    assert number >= len(READERS)
    assert peak(hard, kernel) / peak(copy, kernel) > 100


def test_channels_end_within_a_factor_of_two(hard, equalized, tmp_path):
    assert spread(hard, tmp_path) > 100
    assert spread(equalized[0], tmp_path) <= 2


def test_an_equalized_model_is_returned_as_it_is(equalized, tmp_path):
    assert equalize(equalized[0], FEEDS, tmp_path) == (equalized[0], 0)


def test_a_factor_without_its_reciprocal_changes_the_outputs(original):
    broken = original.copy()
    enlarge(broken, "stem/conv/kernel", {})
    assert np.abs(outputs_of(broken) - outputs_of(original)).max() > 1


@pytest.mark.parametrize(
    ("peaks", "factors"),
    [
        ([1, 1, 1], [1, 1, 1]),
        ([1, 1000, 1], [1, 512, 1]),
        ([8, 3, 2, 1.5, 1], [4, 2, 1, 1, 0.5]),
        ([1, 1, 1e-6], [1, 1, 1 / 16]),
        ([0, 4, 4, 1], [1, 1, 1, 0.25]),
        ([0, 0], [1, 1]),
    ],
)
def test_factors_are_powers_of_two(peaks, factors):
    np.testing.assert_array_equal(channel_factors(np.array(peaks)), factors)


class Normalized(keras.layers.Layer):
    """A convolution whose batch norm is not folded in the inference model."""

    def __init__(self, bias=False, **kwargs):
        super().__init__(**kwargs)
        self.conv = keras.layers.Conv2D(4, 3, use_bias=bias, name="conv")
        self.norm = keras.layers.BatchNormalization(name="norm")

    def build(self, shape):
        self.conv.build(shape)
        self.norm.build(self.conv.compute_output_shape(shape))

    def call(self, inputs):
        return keras.ops.relu(self.norm(self.conv(inputs)))


def test_arithmetic_inside_a_layer_blocks_scaling(tmp_path):
    image = keras.Input((12, 12, 2), name="image")
    outputs = [
        keras.layers.Conv2D(2, 1)(Normalized(bias, name=name)(image))
        for name, bias in (("plain", False), ("biased", True))
    ]
    inference_model = to_inference_model(
        functional(randomize(keras.Model(image, outputs)))
    )
    variables = variables_of(inference_model)
    for name in ("plain", "biased"):
        scale(variables[f"{name}/conv/kernel"], -1, 1, 1000.0)
    assert equalize(inference_model, FEEDS, tmp_path) == (inference_model, 0)


@pytest.mark.parametrize("batch_size", [3, 16])
def test_a_fixed_batch_is_filled_from_few_samples(batch_size, tmp_path):
    image = keras.Input((12, 12, 2), name="image")
    x = keras.layers.Conv2D(3, 3, activation="relu", name="first")(image)
    model = keras.Model(image, keras.layers.Conv2D(2, 3, name="second")(x))
    inference_model = to_inference_model(
        functional(randomize(model)), batch_size
    )
    enlarge(inference_model, "first/kernel", {"second/kernel": 0})
    copy, _ = equalize(inference_model, {"image": IMAGES[:4]}, tmp_path)
    ratio = peak(inference_model, "first/kernel") / peak(copy, "first/kernel")
    assert ratio > 100
