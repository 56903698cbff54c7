"""Quantized TFLite artifacts: quality, sizes, and what is in integers."""

import inspect
from collections import Counter

import numpy as np
import pytest

from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.tflite import export
from keras_inception_export.formats.tflite.quantize.quantizer import (
    TFLiteQuantizer,
)
from keras_inception_export.formats.tflite.runtime import open_runner
from tests.helpers.format_cases import keras_outputs
from tests.helpers.quantized_cases import decibels, run
from tests.helpers.tflite_quantized import (
    Case,
    classifier,
    inference_model_of,
    interpreter_of,
)


def operators(path):
    """Return each operator and the type of its result, as LiteRT loads them."""
    interpreter = interpreter_of(path)
    interpreter.allocate_tensors()
    types = {
        entry["index"]: np.dtype(entry["dtype"]).name
        for entry in interpreter.get_tensor_details()
    }
    return [
        (entry["op_name"], types[entry["outputs"][0]])
        for entry in interpreter._get_ops_details()
    ]


# Options of `write`, and the least signal to noise against Keras in dB.
# Measured: 49.6, 44.5, 44.5, 78.6 and 52.9; the float artifact has 137.3.
QUALITY = [
    ({}, 46),
    ({"io": "int8"}, 41),
    ({"io": "uint8"}, 41),
    ({"scheme": "float16"}, 75),
    ({"scheme": "dynamic"}, 49),
]


@pytest.mark.parametrize(("options", "least"), QUALITY)
def test_is_as_good_as_was_measured(options, least, case):
    path = case.write(**options)
    assert least < case.quality(path) < least + 8
    other = classifier()
    for weight in other.weights:
        weight.assign(weight * 1.1)
    perturbed = keras_outputs(inference_model_of(other), case.feeds)
    assert decibels(run(path, case.feeds), perturbed) < least
    runner = open_runner(path)
    for spec in (*runner.inputs, *runner.outputs):
        assert spec.dtype == options.get("io", "float32")
        assert (spec.scale is not None) == ("io" in options)
        assert spec.shape[0] is None


def kernel_sizes(model, least=0):
    """Count the kernels of a model by their number of elements."""
    sizes = [
        int(np.prod(weight.shape))
        for weight in model.weights
        if len(weight.shape) > 1
    ]
    return Counter(size for size in sizes if size >= least)


def tensor_sizes(path, dtype):
    """Count the tensors of a type that have several axes, by their sizes."""
    return Counter(
        int(np.prod(entry["shape"]))
        for entry in interpreter_of(path, delegates=False).get_tensor_details()
        if entry["dtype"] == np.dtype(dtype) and len(entry["shape"]) > 1
    )


@pytest.mark.parametrize(
    ("scheme", "dtype", "least"),
    [("float16", "float16", 0), ("dynamic", "int8", 1024), ("int8", "int8", 0)],
)
def test_kernels_are_stored_in_fewer_bits(scheme, dtype, least, case):
    path = case.write(scheme)
    kernels = kernel_sizes(case.inference_model.model, least)
    assert kernels and not kernels - tensor_sizes(path, dtype)
    path = case.write(float_layers=case.quantizer.layers)
    assert not tensor_sizes(path, dtype)


# How kernels are stored, from how many elements on; the fraction of the float
# artifact's bytes; the signal to noise in dB. Measured: 0.501 and 67.1, 0.254
# and 35.7, 0.256 and 35.0; the float artifact has 118.9 dB.
REDUCED = [
    ("float16", "float16", 0, 0.51, 63),
    ("dynamic", "int8", 1024, 0.26, 32),
    ("int8", "int8", 0, 0.26, 30),
]


@pytest.fixture(scope="module")
def large(hybrid, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hybrid")
    case = Case(inference_model_of(hybrid), folder, samples=8)
    export.write(case.inference_model, folder / "float.tflite", opset=18)
    return case


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheme", "dtype", "start", "fraction", "least"), REDUCED
)
def test_the_hybrid_is_stored_in_fewer_bits(
    scheme, dtype, start, fraction, least, large
):
    path = large.write(scheme)
    kernels = kernel_sizes(large.inference_model.model, start)
    assert kernels.total() >= 48
    assert not kernels - tensor_sizes(path, dtype)
    in_float = large.folder / "float.tflite"
    assert not tensor_sizes(in_float, dtype)
    assert path.stat().st_size <= fraction * in_float.stat().st_size
    assert least < large.quality(path) < least + 8 < large.quality(in_float)


def test_layers_are_the_kernels_of_the_model(case):
    assert case.quantizer.layers == tuple(
        weight.path.rpartition("/")[0]
        for weight in case.inference_model.model.weights
        if len(weight.shape) > 1
    )


def test_layers_of_float16_compute_in_float(case):
    assert case.float_layers(case.write("float16")) == case.quantizer.layers


def test_all_layers_in_float_is_the_float_artifact(case):
    path = case.write(float_layers=case.quantizer.layers)
    assert case.float_layers(path) == case.quantizer.layers
    assert not {"QUANTIZE", "DEQUANTIZE"} & {x for x, _ in operators(path)}
    assert case.quality(path) > 120  # 137.3 was measured


def test_each_layer_can_be_kept_in_float_or_alone_in_int8(case):
    layers = case.quantizer.layers
    plain = case.write()
    assert case.float_layers(plain) == ()
    quality = case.quality(plain)
    for layer in layers:
        path = case.write(float_layers=[layer])
        assert case.float_layers(path) == (layer,)
        # 48.6 dB at the least; a concatenation of wrong ranges gave 44.3.
        assert case.quality(path) > quality - 2
        others = [other for other in layers if other != layer]
        path = case.write(float_layers=others)
        assert list(case.float_layers(path)) == others
        assert case.quality(path) > quality - 1
        steps = [name for name, _ in operators(path)]
        assert steps.count("QUANTIZE") == steps.count("DEQUANTIZE") == 1


def test_runs_in_one_partition_of_integers(case):
    steps = operators(case.write())
    assert steps[-1][0] == "DELEGATE"
    assert [name for name, _ in steps].count("DELEGATE") == 1
    in_float = [name for name, dtype in steps[:-1] if dtype == "float32"]
    assert in_float == ["DEQUANTIZE", "SOFTMAX"]


def test_xnnpack_computes_what_the_file_says(case):
    path = case.write()
    signature = interpreter_of(path, delegates=False).get_signature_runner()
    difference = case.quality(path) - decibels(
        signature(**case.feeds), case.expected
    )
    assert abs(difference) < 1  # 0.0001 was measured


def test_bytes_are_the_same_for_the_same_calibration(case, tmp_path):
    less = {name: array[:5] for name, array in case.calibration.items()}
    path = tmp_path / "model.tflite"
    for calibration, equal in ((case.calibration, True), (less, False)):
        quantizer = TFLiteQuantizer(
            case.inference_model, tmp_path, calibration=calibration
        )
        quantizer.write(path, "int8")
        same = path.read_bytes() == case.write().read_bytes()
        assert same == equal


def test_the_private_converter_has_the_expected_parameters():
    from tensorflow.lite.python.convert import mlir_quantize

    assert set(inspect.signature(mlir_quantize).parameters) >= {
        "input_data_str",
        "input_data_type",
        "output_data_type",
        "denylisted_nodes",
    }


def test_a_missing_file_has_no_layers(case, tmp_path):
    with pytest.raises(ArtifactError, match="not a TFLite file"):
        case.float_layers(tmp_path / "missing.tflite")
