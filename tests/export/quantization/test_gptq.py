"""Kernels that are rounded for what they read, and artifacts that hold them."""

import importlib

import keras
import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_inception_export import load_artifact
from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.formats.onnx.quantize.placement import layer_nodes
from keras_inception_export.formats.quantizer import (
    DRIFT,
    LARGEST,
    kernel_scale,
    rounded_kernel,
)
from keras_inception_export.model import loading as prepare
from keras_inception_export.quantization.calibration_statistics import (
    second_moments,
)
from keras_inception_export.quantization.gptq import round_kernels
from keras_inception_export.quantization.metrics import measure
from keras_inception_layers import ConvBN, InceptionV1Block
from tests.helpers.numeric import random_images, randomize

FORMATS = ("tflite", "onnx")


def inference_model_of(model):
    return prepare.to_inference_model(prepare.functional(model), None)


def kernels_of(inference_model):
    return {
        variable.path: keras.ops.convert_to_numpy(variable)
        for variable in inference_model.model.variables
        if variable.path.endswith("kernel")
    }


READERS = {
    "valid": ((9, 8, 3), layers.Conv2D(4, 3)),
    "same": ((9, 8, 3), layers.Conv2D(4, (3, 2), padding="same")),
    "strided": ((9, 8, 3), layers.Conv2D(4, 3, strides=2, padding="same")),
    "dilated": ((9, 8, 3), layers.Conv2D(4, 3, dilation_rate=2)),
    "any size": (
        (None, None, 3),
        layers.Conv2D(4, 3, strides=2, padding="same"),
    ),
    "line": ((9, 3), layers.Conv1D(4, 3, padding="same")),
    "volume": ((5, 4, 3, 2), layers.Conv3D(4, 2, padding="same")),
    "product": ((5,), layers.Dense(4)),
    "rows": ((6, 5), layers.Dense(4)),
}


@pytest.mark.parametrize(("shape", "layer"), READERS.values(), ids=READERS)
def test_moments_tell_what_a_kernel_computes(shape, layer, tmp_path):
    """Of every filter: the sum of squares of what it gives."""
    image = keras.Input(shape, name="image")
    layer = type(layer).from_config({**layer.get_config(), "use_bias": False})
    inference_model = inference_model_of(keras.Model(image, layer(image)))
    sizes = [size or 7 for size in shape]
    x = np.random.default_rng(0).normal(size=(3, *sizes)).astype("float32")
    graph = float_graph(inference_model)
    (path,) = kernels_of(inference_model)
    ((moment,),) = second_moments(
        graph, {path: layer_nodes(graph)}, 999, {"image": x}, tmp_path
    ).values()
    kernel = np.moveaxis(kernels_of(inference_model)[path], -2, 0).reshape(
        -1, 4
    )
    expected = np.square(keras.ops.convert_to_numpy(layer(x)))
    energy = expected.reshape(-1, 4).sum(axis=0)
    found = np.einsum("if,ij,jf->f", kernel, moment, kernel)
    np.testing.assert_allclose(found, energy, rtol=1e-4)
    other = np.einsum("if,ij,jf->f", kernel[::-1], moment, kernel[::-1])
    assert np.abs(other / energy - 1).max() > 0.01


def correlated(number, inputs, parts, seed=0):
    """Return rows of inputs that a few parts make up."""
    random = np.random.default_rng(seed)
    mixed = random.random((number, parts)) @ random.random((parts, inputs))
    return (mixed + 0.05 * random.random((number, inputs))).astype("float32")


def test_sums_err_less_than_with_the_nearest_integers(tmp_path):
    image = keras.Input((64,), name="image")
    inference_model = inference_model_of(
        keras.Model(image, layers.Dense(16, name="sum")(image))
    )
    x, unseen = np.split(correlated(600, 64, 6), [400])
    (kernel,) = kernels_of(inference_model).values()
    scale = kernel_scale(kernel, axis=1)
    nearest = np.rint(kernel / scale)

    def noise(integers):
        return np.square(unseen @ (integers * scale - kernel)).sum()

    rounded = round_kernels(inference_model, {"image": x}, tmp_path)[
        "sum/kernel"
    ]
    assert noise(rounded) < 0.2 * noise(nearest)
    # For inputs that go together in another way it is of no use.
    other = {"image": correlated(400, 64, 6, seed=1)}
    wrong = round_kernels(inference_model, other, tmp_path)["sum/kernel"]
    assert noise(wrong) > 0.2 * noise(nearest)


def network():
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 2), name="image")
    x = ConvBN(6, 3, name="stem")(image)
    x = InceptionV1Block(((4,), (4, 6), (2, 4), (4,)), name="block")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(3, name="scores")(x)
    return randomize(keras.Model(image, x))


IMAGES = random_images((40, 12, 12, 2))


@pytest.fixture(scope="module")
def rounded(tmp_path_factory):
    """Return a inference model and its rounded kernels."""
    inference_model = inference_model_of(network())
    folder = tmp_path_factory.mktemp("rounded")
    return inference_model, round_kernels(
        inference_model, {"image": IMAGES[:20]}, folder
    )


def test_integers_fit_the_scale_of_their_filter(rounded):
    inference_model, kernels = rounded
    found = kernels_of(inference_model)
    assert found.keys() - kernels.keys() == {"depthwise/kernel"}
    drifts = []
    for path, integers in kernels.items():
        assert integers.shape == found[path].shape
        axes = tuple(range(integers.ndim - 1))
        np.testing.assert_array_equal(np.abs(integers).max(axes), LARGEST)
        nearest = np.rint(found[path] / kernel_scale(found[path], axis=-1))
        drifts.append(np.abs(integers - nearest).max())
    assert 0 < max(drifts) <= DRIFT


def written(name, inference_model, folder, scheme="int8", **options):
    module = importlib.import_module(
        f"keras_inception_export.formats.registry.{name}_quantize"
    )
    path = folder / f"model.{name}"
    calibration = {"image": IMAGES[:20]}
    float_layers = options.pop("float_layers", ())
    quantizer = module.Quantizer(
        inference_model, folder, calibration=calibration, **options
    )
    quantizer.write(path, scheme, float_layers=float_layers)
    return path


def held_by_tflite(path):
    """Return the kernels within a file, filters last, by name."""
    interpreter = Interpreter(str(path))
    return {
        details["name"]: np.moveaxis(
            interpreter.get_tensor(details["index"]), 0, -1
        )
        for details in interpreter.get_tensor_details()
        if details["name"].endswith("/kernel")
    }


def held_by_onnx(path):
    found = {}
    for tensor in onnx.load(path).graph.initializer:
        if tensor.name.endswith("/scale"):
            continue
        name, kernel, rest = tensor.name.partition("/kernel")
        value = onnx.numpy_helper.to_array(tensor)
        if kernel and value.ndim == 4:
            found[name + kernel] = np.moveaxis(value, (0, 1), (-1, -2))
        elif kernel and value.ndim == 2:
            found[name + kernel] = value.T if "transposed" in rest else value
    return found


HELD = {"tflite": held_by_tflite, "onnx": held_by_onnx}


@pytest.fixture(scope="module", params=FORMATS)
def pair(request, rounded, tmp_path_factory):
    """A format, an artifact with rounded kernels and a plain one."""
    inference_model, kernels = rounded
    folders = [tmp_path_factory.mktemp(name) for name in ("rounded", "plain")]
    return (
        request.param,
        written(request.param, inference_model, folders[0], kernels=kernels),
        written(request.param, inference_model, folders[1]),
    )


def test_artifacts_hold_these_integers(pair, rounded):
    name, *paths = pair
    held, plain = map(HELD[name], paths)
    for path, integers in rounded[1].items():
        # ONNX gives the first convolution channels of zeros.
        found = held[path][..., : integers.shape[-2], :]
        np.testing.assert_array_equal(found, integers)
    assert any((plain[path] != held[path]).any() for path in rounded[1])


def test_less_noise_is_left(pair, rounded):
    unseen = IMAGES[20:]
    expected = {"scores": keras.ops.convert_to_numpy(rounded[0].model(unseen))}
    snr = [
        measure(load_artifact(path)(unseen), expected, None)[0].snr_db
        for path in pair[1:]
    ]
    assert snr[0] > snr[1] + 0.5


@pytest.mark.parametrize("name", FORMATS)
def test_layers_in_float_keep_their_weights(name, rounded, tmp_path):
    inference_model, kernels = rounded
    path = written(
        name,
        inference_model,
        tmp_path,
        kernels=kernels,
        float_layers=["stem/conv"],
    )
    weights = kernels_of(inference_model)["stem/conv/kernel"]
    found = HELD[name](path)["stem/conv/kernel"]
    np.testing.assert_array_equal(found, weights)


@pytest.mark.parametrize("name", FORMATS)
def test_dynamic_holds_such_integers_too(name, tmp_path):
    """Where its kernel is large enough for TensorFlow's converter."""
    image = keras.Input((12, 12, 2), name="image")
    x = ConvBN(16, 3, name="stem")(image)
    x = ConvBN(32, 3, name="next")(x)
    inference_model = inference_model_of(randomize(keras.Model(image, x)))
    kernels = round_kernels(inference_model, {"image": IMAGES[:20]}, tmp_path)
    before = kernels_of(inference_model)
    path = written(name, inference_model, tmp_path, "dynamic", kernels=kernels)
    rounded = HELD[name](path)["next/conv/kernel"]
    np.testing.assert_array_equal(rounded, kernels["next/conv/kernel"])
    path = written(name, inference_model, tmp_path, "dynamic")
    assert (rounded != HELD[name](path)["next/conv/kernel"]).any()
    for kernel, weights in kernels_of(inference_model).items():
        np.testing.assert_array_equal(weights, before[kernel])


def test_integers_of_another_kernel_are_not_taken():
    random = np.random.default_rng(0)
    kernel, other = random.normal(size=(2, 3, 3, 8, 4)).astype("float32")
    integers = np.rint(kernel / kernel_scale(kernel, axis=-1))
    taken = rounded_kernel(kernel, integers, axis=-1)
    assert 0 < np.abs(taken - kernel).max() < 0.02
    for integers_of_another in (integers, integers[..., :-1, :]):
        np.testing.assert_array_equal(
            rounded_kernel(other, integers_of_another, axis=-1), other
        )
    # A factor of each filter changes the scale, not the integers.
    factors = np.array([0.1, 1, 3, 200], "float32")
    scaled = rounded_kernel(kernel * factors, integers, axis=-1)
    np.testing.assert_allclose(scaled, taken * factors, rtol=1e-6)


def test_kernels_of_values_that_are_not_finite_are_left_out(tmp_path):
    image = keras.Input((4,), name="image")
    x = layers.Dense(3, name="before")(image)
    x = keras.ops.log(x - x)
    x = layers.Dense(2, name="behind")(x)
    inference_model = inference_model_of(keras.Model(image, x))
    samples = {"image": np.ones((30, 4), "float32")}
    assert list(round_kernels(inference_model, samples, tmp_path)) == [
        "before/kernel"
    ]
