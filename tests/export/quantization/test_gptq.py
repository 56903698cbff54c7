"""Kernels rounded for their inputs, and artifacts that contain them."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export import load_artifact
from keras_inception_export.formats.quantizer import (
    DRIFT,
    LARGEST,
    kernel_scale,
    rounded_kernel,
)
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from keras_inception_export.quantization.gptq import round_kernels
from keras_inception_export.quantization.metrics import measure
from keras_inception_layers import ConvBN, InceptionV1Block
from tests.helpers.numeric import random_images, randomize, to_array
from tests.helpers.stored_kernels import keras_order, stored_kernels

QUANTIZED = tuple(n for n, record in FORMATS.items() if record.quantizer)
IMAGES = random_images((40, 12, 12, 2))
CALIBRATION, UNSEEN = {"image": IMAGES[:20]}, IMAGES[20:]


def kernels_of(inference_model):
    return {
        variable.path: to_array(variable)
        for variable in inference_model.model.variables
        if variable.path.endswith("kernel")
    }


def nearest(kernel):
    """Round to nearest; a depthwise kernel has its filters before the end."""
    return np.rint(kernel / kernel_scale(kernel, axis=filter_axis(kernel)))


def filter_axis(kernel):
    return -2 if kernel.shape[-1] == 1 and kernel.ndim > 2 else -1


def correlated(number, inputs, parts, seed=0):
    """Return rows of inputs that are mixtures of a few parts."""
    random = np.random.default_rng(seed)
    mixed = random.random((number, parts)) @ random.random((parts, inputs))
    return (mixed + 0.05 * random.random((number, inputs))).astype("float32")


def test_outputs_change_less_than_with_the_nearest_integers(tmp_path):
    image = keras.Input((64,), name="image")
    model = keras.Model(image, layers.Dense(16, name="sum")(image))
    inference_model = to_inference_model(functional(model))
    inputs, unseen = np.split(correlated(600, 64, 6), [400])
    (kernel,) = kernels_of(inference_model).values()

    def noise(integers):
        rounded = integers * kernel_scale(kernel, axis=1)
        return np.square(unseen @ (rounded - kernel)).sum()

    def noise_after_calibration(samples):
        kernels = round_kernels(inference_model, {"image": samples}, tmp_path)
        return noise(kernels["sum/kernel"])

    limit = 0.2 * noise(nearest(kernel))
    assert noise_after_calibration(inputs) < limit
    # Inputs with other correlations do not help.
    assert noise_after_calibration(correlated(400, 64, 6, seed=1)) > limit


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 2), name="image")
    x = ConvBN(6, 3, name="stem")(image)
    x = InceptionV1Block(((4,), (4, 6), (2, 4), (4,)), name="block")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(3, name="scores")(x)
    return to_inference_model(functional(randomize(keras.Model(image, x))))


@pytest.fixture(scope="module")
def kernels(network, tmp_path_factory):
    """The rounded kernels of the network."""
    workdir = tmp_path_factory.mktemp("rounded")
    return round_kernels(network, CALIBRATION, workdir)


def test_integers_fit_the_scale_of_their_filter(network, kernels):
    original = kernels_of(network)
    assert original.keys() == kernels.keys()
    drifts = []
    for path, integers in kernels.items():
        assert integers.shape == original[path].shape
        axes = tuple({*range(-integers.ndim, 0)} - {filter_axis(integers)})
        np.testing.assert_array_equal(np.abs(integers).max(axes), LARGEST)
        drifts.append(np.abs(integers - nearest(original[path])).max())
    assert 0 < max(drifts) <= DRIFT


def make_quantizer(name, network, workdir, **options):
    return FORMATS[name].quantizer(
        network, workdir, calibration=CALIBRATION, **options
    )


@pytest.fixture(scope="module", params=QUANTIZED)
def quantizer(request, network, kernels, tmp_path_factory):
    """The quantizer of a format with rounded kernels, and its format."""
    workdir = tmp_path_factory.mktemp(request.param)
    return FORMATS[request.param], make_quantizer(
        request.param, network, workdir, kernels=kernels
    )


def test_artifacts_contain_the_integers(quantizer, network, kernels, tmp_path):
    record, writer = quantizer
    path = tmp_path / record.file_name
    writer.write(path, "int8")
    stored = stored_kernels(path)
    original = kernels_of(network)
    different = 0
    for name, integers in kernels.items():
        if integers.ndim != 4:
            continue
        # The first convolution is padded with channels of zeros in ONNX.
        kernel = keras_order(stored[name], path)[..., : integers.shape[-2], :]
        np.testing.assert_array_equal(kernel.reshape(integers.shape), integers)
        different += (kernel != nearest(original[name])).any()
    assert different


def test_layers_in_float_keep_their_weights(quantizer, network, tmp_path):
    record, writer = quantizer
    path = tmp_path / record.file_name
    writer.write(path, "int8", float_layers=["stem/conv"])
    np.testing.assert_array_equal(
        keras_order(stored_kernels(path)["stem/conv/kernel"], path),
        kernels_of(network)["stem/conv/kernel"],
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if FORMATS[name].fast_quantizer else slow)
        for slow in [pytest.mark.slow]
        for name in QUANTIZED
    ],
)
def test_rounded_kernels_reduce_the_noise(name, network, kernels, tmp_path):
    expected = {"scores": to_array(network.model(UNSEEN))}
    path = tmp_path / FORMATS[name].file_name
    snr = []
    for options in ({"kernels": kernels}, {}):
        make_quantizer(name, network, tmp_path, **options).write(path, "int8")
        (record,) = measure(load_artifact(path)(UNSEEN), expected, None)
        snr.append(record.snr_db)
    assert snr[0] > snr[1] + 0.5


def test_integers_of_another_kernel_are_ignored():
    random = np.random.default_rng(0)
    kernel, other = random.normal(size=(2, 3, 3, 8, 4)).astype("float32")
    integers = nearest(kernel)
    rounded = rounded_kernel(kernel, integers, axis=-1)
    assert 0 < np.abs(rounded - kernel).max() < 0.02
    for wrong in (integers, integers[..., :-1, :]):
        np.testing.assert_array_equal(
            rounded_kernel(other, wrong, axis=-1), other
        )
    # A factor per filter changes the scale, not the integers.
    factors = np.float32([0.1, 1, 3, 200])
    scaled = rounded_kernel(kernel * factors, integers, axis=-1)
    np.testing.assert_allclose(scaled, rounded * factors, rtol=1e-6)


def test_kernels_with_inputs_that_are_not_finite_are_left_out(tmp_path):
    image = keras.Input((4,), name="image")
    x = layers.Dense(3, name="before")(image)
    x = keras.ops.log(x - x)
    x = layers.Dense(2, name="after")(x)
    inference_model = to_inference_model(functional(keras.Model(image, x)))
    samples = {"image": np.ones((30, 4), "float32")}
    kernels = round_kernels(inference_model, samples, tmp_path)
    assert list(kernels) == ["before/kernel"]
