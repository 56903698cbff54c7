"""The contents of int8 ONNX artifacts, and the graph ONNX Runtime runs."""

import json
from collections import Counter

import keras
import numpy as np
import onnx as onnx_package
import onnxruntime
import pytest
from keras import layers, ops
from onnx.reference import ReferenceEvaluator

from keras_inception_export.formats.onnx import runtime as onnx
from keras_inception_export.formats.onnx.quantize.quantizer import (
    OnnxQuantizer,
)
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from tests.helpers.format_cases import keras_outputs
from tests.helpers.quantized_cases import (
    PROBES,
    SAMPLES,
    decibels,
    run,
)


def operators(path):
    """Count the operators of the graph that ONNX Runtime runs."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path.with_suffix(".optimized"))
    options.log_severity_level = 4
    onnxruntime.InferenceSession(path, options)
    model = onnx_package.load(options.optimized_model_filepath)
    return Counter(node.op_type for node in model.graph.node)


def test_all_layers_run_on_integers_without_conversions_between(int8):
    moves = {"Pad", "Reshape", "Transpose"}
    counts = operators(int8)
    assert {name: counts[name] for name in counts if name not in moves} == {
        "QuantizeLinear": 1,
        "QLinearConv": 8,
        "NhwcMaxPool": 2,
        "QLinearConcat": 1,
        "ReduceMax": 1,
        "QGemm": 2,
    }


def test_scales_follow_from_weights_and_samples(inference_model, int8):
    graph = onnx_package.load(str(int8)).graph
    constants = {
        tensor.name: onnx_package.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
    }
    read = {
        node.name: [constants.get(name) for name in node.input]
        for node in graph.node
    }
    weights = {
        weight.path: weight.numpy() for weight in inference_model.model.weights
    }
    for layer in ("block/branch_1_conv_1/conv", "last/conv"):
        kernel = np.transpose(weights[f"{layer}/kernel"], (3, 2, 0, 1))
        integers, scale, zero = read[f"{layer}/kernel_DequantizeLinear"]
        peaks = np.abs(kernel).max((1, 2, 3))
        np.testing.assert_allclose(scale, peaks / 127, rtol=1e-6)
        assert not zero.any()
        steps = kernel / scale[:, None, None, None]
        assert np.abs(integers - steps).max() <= 0.5 + 1e-4
    image = SAMPLES["image"]
    _, scale, zero = read["image_QuantizeLinear"]
    np.testing.assert_allclose(scale, np.ptp(image) / 255, rtol=1e-6)
    assert zero == np.rint(-image.min() / scale)
    # The inputs of a concatenation and the pooling after it share one scale.
    block = keras.Model(
        inference_model.model.input,
        inference_model.model.get_layer("block").output,
    )(image)
    for tensor in (
        "block/branch_0_conv_0/Relu",
        "block/branch_3_conv_0/Relu",
        "block/Concat",
        "pool/MaxPool",
    ):
        _, scale, zero = read[f"{tensor}_QuantizeLinear"]
        np.testing.assert_allclose(scale, np.max(block) / 255, rtol=1e-5)
        assert zero == 0


def test_another_runtime_computes_the_same(int8):
    model = onnx_package.load(str(int8))
    # The reference of onnx implements these conversions since opset 19.
    model.opset_import[0].version = 19
    feeds = {"image": PROBES["image"][:4]}
    (scores,) = ReferenceEvaluator(model).run(None, feeds)
    # Measured: 141 dB; 40 if one activation is rounded in the other direction.
    assert decibels(run(int8, feeds), {"scores": scores}) > 36


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_inputs_and_outputs_can_be_integers(dtype, quantizer, int8, tmp_path):
    path = tmp_path / "model.onnx"
    quantizer.write(path, "int8", io=dtype)
    onnx_package.checker.check_model(str(path), full_check=True)
    assert quantizer.float_layers(path) == ()
    runner = onnx.open_runner(path)
    (entry,), (exit_,) = runner.inputs, runner.outputs
    assert (entry.dtype, exit_.dtype) == (dtype, dtype)
    metadata = onnx_package.load(str(path)).metadata_props
    (steps,) = (x.value for x in metadata if x.key == "quantization")
    assert json.loads(steps) == {
        spec.name: {"scale": spec.scale, "zero_point": spec.zero_point}
        for spec in (entry, exit_)
    }
    # Half a step within the range of the samples; measured: 0.496.
    error = np.abs(run(path)["scores"] - run(int8)["scores"])
    assert error.max() <= 0.6 * exit_.scale
    quantizer.write(path, "int8", io=dtype, float_layers=["entry/conv"])
    assert quantizer.float_layers(path) == ("entry/conv",)


def test_layers_stay_in_float(quantizer, inference_model, int8, tmp_path):
    path = tmp_path / "model.onnx"
    expected = keras_outputs(inference_model, PROBES)
    plain = decibels(run(int8), expected)
    every = quantizer.layers
    for kept, least in (
        (["entry/conv"], plain),
        (["block/branch_1_conv_1/conv"], plain),
        (["block/branch_3_conv_0/conv", "scores"], plain - 0.1),
        (["hidden"], plain),
        ([x for x in every if x != "hidden"], plain + 3),
        ([x for x in every if x != "last/conv"], plain + 3),
        (every, 120),
    ):
        quantizer.write(path, "int8", float_layers=kept)
        assert quantizer.float_layers(path) == tuple(kept)
        assert decibels(run(path), expected) > least
    assert "QuantizeLinear" not in operators(path)


def test_an_infinite_mask_has_no_scale(tmp_path):
    """It is computed in float, between layers that compute on integers."""
    series = keras.Input((8, 2), name="series")
    x = layers.Dense(8, name="first")(series)
    x = x + ops.where(series[..., :1] > 0, 0.0, -np.inf)
    x = layers.Dense(3, name="last")(layers.GlobalMaxPooling1D()(x))
    model = to_inference_model(functional(keras.Model(series, {"y": x})))
    samples = np.random.default_rng(0).normal(size=(60, 8, 2)).astype("float32")
    samples[:, 0] = abs(samples[:, 0])
    feeds, path = {"series": samples}, tmp_path / "model.onnx"
    quantizer = OnnxQuantizer(model, tmp_path, calibration=feeds)
    quantizer.write(path, "int8")
    assert quantizer.float_layers(path) == ()
    assert decibels(run(path, feeds), keras_outputs(model, feeds)) > 25


def test_a_float_kernel_alone_keeps_no_layer_in_float(quantizer, tmp_path):
    """ONNX Runtime quantizes a float layer between two conversions."""
    path = tmp_path / "model.onnx"
    layer = "block/branch_1_conv_1/conv"
    quantizer.write(path, "int8", float_layers=[layer])
    model = onnx_package.load(str(path))
    nodes = {node.name: node for node in model.graph.node}
    before = "block/branch_1_conv_0/Relu"
    conversion = onnx_package.NodeProto()
    conversion.CopyFrom(nodes[f"{before}_QuantizeLinear"])
    conversion.op_type = "DequantizeLinear"
    conversion.name, conversion.output[0] = "usual", "usual"
    conversion.input[0] = f"{before}_QuantizeLinear_Output"
    nodes[f"{layer}/Conv"].input[0] = "usual"
    model.graph.node.insert(
        list(model.graph.node).index(nodes[f"{layer}/Conv"]), conversion
    )
    onnx_package.save(model, str(path))
    assert quantizer.float_layers(path) == ()
