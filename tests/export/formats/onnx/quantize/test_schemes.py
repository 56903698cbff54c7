"""Quantized ONNX artifacts of all schemes; see test_int8 for their contents."""

import os

import numpy as np
import onnx as onnx_package
import pytest

from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.onnx import export
from keras_inception_export.formats.onnx import runtime as onnx
from keras_inception_export.formats.onnx import serialize as onnx_writer
from keras_inception_export.formats.onnx.quantize.quantizer import (
    OnnxQuantizer,
)
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from tests.helpers.format_cases import (
    feeds_of,
    inference_model_of,
    keras_outputs,
)
from tests.helpers.numeric import perturb, random_images
from tests.helpers.onnx_cases import ALL_CASES
from tests.helpers.quantized_cases import (
    PROBES,
    SAMPLES,
    decibels,
    inception,
    run,
)

# The minimum signal-to-noise ratio of a small model's outputs, in dB.
# Measured: 71.8, 38.3 and 37.5.
MINIMUM = {"float16": 66, "dynamic": 34, "int8": 33}


@pytest.mark.parametrize("scheme", MINIMUM)
def test_computes_nearly_what_keras_computes(
    scheme, inference_model, quantizer, tmp_path
):
    path = tmp_path / f"model.{scheme}.onnx"
    quantizer.write(path, scheme)
    assert os.listdir(tmp_path) == [path.name]
    onnx_package.checker.check_model(str(path), full_check=True)
    assert onnx.open_runner(path).inputs == inference_model.inputs
    assert onnx.open_runner(path).outputs == inference_model.outputs
    outputs = run(path)
    assert (
        decibels(outputs, keras_outputs(inference_model, PROBES))
        >= MINIMUM[scheme]
    )
    other = inception()
    for weight in other.model.trainable_weights:
        perturb(weight, 0.1)
    assert decibels(outputs, keras_outputs(other, PROBES)) < MINIMUM[scheme]


@pytest.mark.slow
def test_the_hybrid_takes_a_quarter_of_the_bytes(hybrid, tmp_path):
    inference_model = to_inference_model(functional(hybrid), None)
    samples = {"image": random_images((8, 32, 32, 1))}
    quantizer = OnnxQuantizer(inference_model, tmp_path, calibration=samples)
    sizes = {}
    for scheme in (None, "float16", "dynamic", "int8"):
        path = tmp_path / f"model.{scheme}.onnx"
        if scheme is None:
            export.write(inference_model, path, opset=18)
        else:
            quantizer.write(path, scheme)
        nodes = onnx_package.load(str(path)).graph.node
        names = [node.name for node in nodes if node.op_type == "Conv"]
        assert names == [f"{layer}/Conv" for layer in quantizer.layers]
        in_float = () if scheme == "int8" else quantizer.layers
        assert quantizer.float_layers(path) == in_float
        sizes[scheme] = path.stat().st_size
    assert len(quantizer.layers) == 49
    assert sizes["float16"] <= 0.51 * sizes[None]
    assert sizes["dynamic"] <= sizes["int8"] <= 0.26 * sizes[None]
    # Measured: 33.6 dB.
    probes = {"image": random_images((4, 32, 32, 1), seed=7)}
    assert (
        decibels(run(path, probes), keras_outputs(inference_model, probes)) > 30
    )


def test_dynamic_products_quantize_their_inputs(quantizer, tmp_path):
    path = tmp_path / "model.onnx"
    quantizer.write(path, "dynamic")
    convolutions = tuple(x for x in quantizer.layers if x.endswith("/conv"))
    assert quantizer.float_layers(path) == convolutions
    held = {
        tensor.name: tensor.data_type
        for tensor in onnx_package.load(str(path)).graph.initializer
        if len(tensor.dims) > 1 and np.prod(tensor.dims) > 64
    }
    assert set(held.values()) == {onnx_package.TensorProto.INT8}
    assert len(held) == len(quantizer.layers)


@pytest.mark.parametrize(
    ("case", "opset", "minimum"),
    # Measured: 39.5, 49.3, 38.4, 23.7 and 40.6 dB.
    [
        ("shared_layer", 13, 36),
        ("kinds_of_convolution", 15, 45),
        ("recurrent", 18, 34),
        ("other_dimensions", 18, 21),
        ("tied_dense", 17, 36),
    ],
)
def test_quantizes_other_models(case, opset, minimum, tmp_path):
    inference_model = inference_model_of(ALL_CASES[case])
    quantizer = OnnxQuantizer(
        inference_model,
        tmp_path,
        opset=opset,
        calibration=feeds_of(inference_model, 24),
    )
    path = tmp_path / "model.onnx"
    quantizer.write(path, "int8")
    onnx_package.checker.check_model(str(path), full_check=True)
    assert quantizer.float_layers(path) == ()
    feeds = feeds_of(inference_model, 5)
    assert (
        decibels(run(path, feeds), keras_outputs(inference_model, feeds))
        >= minimum
    )


def test_calibrates_and_runs_with_a_fixed_batch(tmp_path):
    inference_model = to_inference_model(inception().model, 3)
    path = tmp_path / "model.onnx"
    OnnxQuantizer(inference_model, tmp_path, calibration=SAMPLES).write(
        path, "int8"
    )
    assert onnx.open_runner(path).inputs[0].shape[0] == 3
    expected = keras_outputs(inception(), PROBES)
    assert decibels(run(path), expected) >= MINIMUM["int8"]


def test_weights_beyond_the_protobuf_limit_are_in_a_second_file(
    inference_model, int8, tmp_path, monkeypatch
):
    monkeypatch.setattr(onnx_writer, "PROTOBUF_LIMIT", 1)
    path = tmp_path / "model.onnx"
    quantizer = OnnxQuantizer(inference_model, tmp_path, calibration=SAMPLES)
    quantizer.write(path, "int8")
    assert sorted(os.listdir(tmp_path)) == ["model.onnx", "model.onnx.data"]
    assert quantizer.float_layers(path) == ()
    np.testing.assert_array_equal(run(path)["scores"], run(int8)["scores"])


def test_float_layers_of_a_damaged_file(quantizer, int8, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(int8.read_bytes()[:-500])
    with pytest.raises(ArtifactError, match="export the model again"):
        quantizer.float_layers(path)
