"""Quantized TFLite artifacts: quality, sizes, and what is in integers."""

import inspect
from collections import Counter

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers

from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    RequestError,
)
from keras_inception_export.formats.onnx.quantize.quantizer import (
    OnnxQuantizer,
)
from keras_inception_export.formats.saved_model import export as saved_model
from keras_inception_export.formats.tflite import export
from keras_inception_export.formats.tflite.quantize.quantizer import (
    TFLiteQuantizer,
)
from keras_inception_export.formats.tflite.runtime import open_runner
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from keras_inception_export.quantization.sensitivity import layer_snr
from keras_inception_layers import InceptionV1Block
from tests.helpers.format_cases import feeds_of, keras_outputs
from tests.helpers.numeric import randomize
from tests.helpers.quantized_cases import decibels, run

pytestmark = pytest.mark.usefixtures("shared_converter")


def classifier():
    image = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, name="stem", activation="relu")(image)
    x = InceptionV1Block(((8,), (6, 8), (4, 6), (6,)), name="block")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.Conv2D(40, 1, name="last", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(5, name="scores", activation="softmax")(x)
    return randomize(keras.Model(image, x))


def inference_model_of(model):
    return to_inference_model(functional(model))


class Case:
    """An inference model with its quantizer, inputs, and Keras's outputs."""

    def __init__(self, inference_model, folder, samples=60):
        self.inference_model, self.folder = inference_model, folder
        self.calibration = feeds_of(inference_model, samples)
        self.quantizer = TFLiteQuantizer(
            inference_model, folder, calibration=self.calibration
        )
        self.feeds = feeds_of(inference_model, 16)
        self.expected = keras_outputs(inference_model, self.feeds)

    def write(self, scheme="int8", **options):
        path = self.folder / "written.tflite"
        self.quantizer.write(path, scheme, **options)
        return path

    def quality(self, path):
        return decibels(run(path, self.feeds), self.expected)

    def float_layers(self, path):
        return self.quantizer.float_layers(path)


@pytest.fixture(scope="module")
def case(shared_converter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier")
    return Case(inference_model_of(classifier()), folder)


def interpreter_of(path, delegates=True, **options):
    kind = OpResolverType.AUTO
    if not delegates:
        kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return Interpreter(
        model_path=str(path), experimental_op_resolver_type=kind, **options
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
def large(shared_converter, hybrid, tmp_path_factory):
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


def test_kernels_are_rounded_to_the_given_integers(case, tmp_path):
    """Other integers change the bytes of int8, and of no other scheme."""
    kernel = np.array(case.inference_model.model.get_layer("last").kernel)
    step = np.abs(kernel).max((0, 1, 2)) / 127
    integers = np.clip(np.rint(kernel / step) + 1, -127, 127)
    quantizer = TFLiteQuantizer(
        case.inference_model,
        tmp_path,
        calibration=case.calibration,
        kernels={"last/kernel": integers},
    )
    for scheme, equal in (("int8", False), ("dynamic", True)):
        path = tmp_path / "model.tflite"
        quantizer.write(path, scheme)
        same = path.read_bytes() == case.write(scheme).read_bytes()
        assert same == equal


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


def rank_correlation(first, second):
    """Return Spearman's rank correlation."""
    ranks = [np.argsort(np.argsort(values)) for values in (first, second)]
    return np.corrcoef(*ranks)[0, 1]


@pytest.mark.filterwarnings(
    # The debugger itself still opens it.
    r"ignore:\s*Warning.\s*tf.lite.Interpreter is deprecated:UserWarning"
)
def test_ranking_of_layers_is_that_of_tensorflows_debugger(case, tmp_path):
    """Compare the error of each layer alone in int8, ours and theirs.

    The search for layers to keep in float uses ours, and ranks them in ONNX.
    The debugger converts the SavedModel itself, calibrates with TensorFlow's
    calibrator and does not know our names; its layers are identified by the
    contents of their kernels.
    """
    import tensorflow as tf

    images = case.feeds["image"]
    saved_model.write(case.inference_model, tmp_path / "saved_model", opset=18)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(tmp_path / "saved_model")
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [image[None]] for image in case.calibration["image"]
    )

    def options(in_float):
        return tf.lite.experimental.QuantizationDebugOptions(
            model_debug_metrics={
                "error": lambda x, y: float(np.mean((x[0] - y[0]) ** 2))
            },
            denylisted_nodes=in_float,
        )

    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=lambda: ([image[None]] for image in images),
        debug_options=options([]),
    )
    tensors, found = debugger_tensors(debugger, case.inference_model)
    layers = case.quantizer.layers
    assert set(found) == set(layers)
    theirs = []
    for layer in layers:
        debugger.options = options([x for x in tensors if x != found[layer]])
        debugger.run()
        theirs.append(debugger.model_statistics["error"])
    in_onnx = OnnxQuantizer(
        case.inference_model, tmp_path, calibration=case.calibration
    )
    for quantizer, name in ((case.quantizer, "tflite"), (in_onnx, "onnx")):
        snr = layer_snr(quantizer, tmp_path / f"ranking.{name}", case.feeds)
        ours = [-snr[layer] for layer in layers]
        # 1.0 was measured in TFLite and ONNX. With a larger model it was 0.97
        # in ONNX, and 0.93 against ai-edge-quantizer, whose ranges are moving
        # averages.
        assert rank_correlation(ours, theirs) > 0.95
        assert rank_correlation(ours[1:] + ours[:1], theirs) < 0.95


def debugger_tensors(debugger, inference_model):
    """Return the debugger's tensors, and the one of each layer."""
    paths = {
        np.sort(np.ravel(weight)).tobytes(): weight.path.rpartition("/")[0]
        for weight in inference_model.model.weights
        if len(weight.shape) > 1
    }
    interpreter = Interpreter(
        model_content=bytes(debugger.calibrated_model),
        experimental_op_resolver_type=(
            OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    interpreter.allocate_tensors()
    tensors, found = [], {}
    for entry in interpreter._get_ops_details():
        details = interpreter._get_tensor_details(entry["outputs"][0], 0)
        tensors.append(details["name"])
        if entry["op_name"] in (
            "CONV_2D",
            "DEPTHWISE_CONV_2D",
            "FULLY_CONNECTED",
        ):
            kernel = interpreter.get_tensor(entry["inputs"][1])
            layer = paths[np.sort(np.ravel(kernel)).tobytes()]
            found[layer] = details["name"]
    return tensors, found


def test_the_private_converter_has_the_expected_parameters():
    from tensorflow.lite.python.convert import mlir_quantize

    assert set(inspect.signature(mlir_quantize).parameters) >= {
        "input_data_str",
        "input_data_type",
        "output_data_type",
        "denylisted_nodes",
    }


@pytest.mark.parametrize(
    ("scheme", "options", "message"),
    [
        ("int4", {}, 'quantization "int4" is unknown'),
        ("float16", {"io": "int8"}, "need the quantization int8"),
        ("dynamic", {"float_layers": ["stem"]}, "only int8 has"),
        ("int8", {"io": "int16"}, 'quantized io "int16" is unknown'),
        ("int8", {"float_layers": ["stam"]}, "received the layers .'stam'."),
    ],
)
def test_refuses_invalid_requests(scheme, options, message, case):
    with pytest.raises(RequestError, match=message):
        case.write(scheme, **options)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "needs samples"),
        ({"picture": []}, "received calibration samples"),
    ],
)
def test_int8_needs_samples(calibration, message, case, tmp_path):
    quantizer = TFLiteQuantizer(
        case.inference_model, tmp_path, calibration=calibration
    )
    with pytest.raises(RequestError, match=message):
        quantizer.write(tmp_path / "model.tflite", "int8")


def test_samples_that_are_not_finite_have_no_range(case, tmp_path):
    samples = case.calibration["image"].copy()
    samples[3, 2, 1] = np.nan
    quantizer = TFLiteQuantizer(
        case.inference_model, tmp_path, calibration={"image": samples}
    )
    with pytest.raises(ConversionError, match="'image' is not finite"):
        quantizer.write(tmp_path / "model.tflite", "int8")


def test_a_missing_file_has_no_layers(case, tmp_path):
    with pytest.raises(ArtifactError, match="not a TFLite file"):
        case.float_layers(tmp_path / "missing.tflite")
