"""TFLite artifacts of Keras models."""

import os
import re
import sys

import keras
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_inception_export.child_process import run_in_child
from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.tflite import export
from keras_inception_export.formats.tflite.large_weights import large_weights
from keras_inception_export.formats.tflite.runtime import open_runner
from keras_inception_export.model.inference_model import InferenceModel
from tests.helpers.format_cases import (
    CASES,
    check_artifact,
    feeds_of,
    inference_model_of,
    keras_outputs,
    largest_error,
    perturb,
)

# Relative to an output's largest value. The largest error measured was 8e-7.
TOLERANCE = 4e-6


def write(inference_model, path):
    export.write(inference_model, path, opset=18)
    return path


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """Return a function that writes a case once, in a folder of its own."""
    paths = {}

    def written(case):
        if case not in paths:
            folder = tmp_path_factory.mktemp(case)
            paths[case] = write(
                inference_model_of(CASES[case]), folder / "model.tflite"
            )
        return paths[case]

    return written


def error(inference_model, path, batch=2):
    """Return the largest error, relative to the outputs of Keras."""
    feeds = feeds_of(inference_model, batch)
    outputs = open_runner(path).run(feeds)
    return largest_error(outputs, keras_outputs(inference_model, feeds))


@pytest.mark.parametrize("case", CASES)
def test_computes_what_keras_computes(case, artifact):
    inference_model, path = inference_model_of(CASES[case]), artifact(case)
    assert os.listdir(path.parent) == ["model.tflite"]
    runner = open_runner(path)
    assert runner.outputs == inference_model.outputs
    check_artifact(runner, inference_model, TOLERANCE)


def test_lists_tensors_in_the_declared_order(artifact):
    interpreter = Interpreter(model_path=str(artifact("any_order")))
    inputs = [detail["name"] for detail in interpreter.get_input_details()]
    outputs = [detail["name"] for detail in interpreter.get_output_details()]
    assert inputs == ["m", "z", "a"]
    assert outputs == ["q", "b", "y", "k"]
    (signature,) = interpreter.get_signature_list().values()
    assert set(signature["inputs"]) == set(inputs)
    assert set(signature["outputs"]) == set(outputs)


def _operators_and_tensors(path):
    interpreter = Interpreter(model_path=str(path))
    operators = [entry["op_name"] for entry in interpreter._get_ops_details()]
    tensors = interpreter.get_tensor_details()
    return operators, {tensor["name"]: tensor["shape"] for tensor in tensors}


def test_equal_outputs_keep_their_order(tmp_path):
    x = keras.Input((4,), name="x")
    first, second = keras.ops.split(x * 2.0, 2, axis=1)
    outputs = {"d": second, "b": first, "c": second, "a": layers.ReLU()(first)}
    outputs["e"] = keras.ops.relu(first)
    inference_model = InferenceModel.of(keras.Model(x, outputs))
    path = write(inference_model, tmp_path / "model.tflite")
    assert [spec.name for spec in open_runner(path).outputs] == list("dbcae")
    assert error(inference_model, path) < TOLERANCE


def test_large_weights_are_constants_in_the_layout_of_tflite(tmp_path):
    image = layers.Input((4, 4, 256), name="image")
    tokens = layers.Input((3,), dtype="int32", name="tokens")
    outputs = [
        layers.Conv2D(128, 3, padding="same", name="conv")(image),
        layers.Dense(1200, name="dense")(image),
        layers.Embedding(1100, 256, name="table")(tokens),
    ]
    inference_model = InferenceModel.of(keras.Model([image, tokens], outputs))
    path = write(inference_model, tmp_path / "model.tflite")
    size = 4 * inference_model.model.count_params()
    assert path.stat().st_size <= 1.02 * size
    operators, tensors = _operators_and_tensors(path)
    assert "TRANSPOSE" not in operators
    assert list(tensors["conv/kernel"]) == [128, 3, 3, 256]
    assert list(tensors["dense/kernel"]) == [1200, 256]
    assert list(tensors["table/embeddings"]) == [1100, 256]
    assert error(inference_model, path) <= TOLERANCE


class WithUnused(layers.Layer):
    """It has a child that it never calls, and never builds."""

    def __init__(self):
        super().__init__()
        self.unused = layers.Dense(3)

    def build(self, input_shape):
        self.scale = self.add_weight(shape=input_shape[-1:])

    def call(self, inputs):
        return inputs * self.scale


def test_a_layer_that_is_never_called_has_no_weights():
    model = keras.Sequential([keras.Input((4,)), WithUnused()])
    assert not large_weights(model)


class SquaredDense(layers.Dense):
    def call(self, inputs, training=None):
        return keras.ops.matmul(inputs, keras.ops.square(self.kernel))


def test_a_large_weight_that_is_computed_on_is_folded(tmp_path):
    vector = layers.Input((512,), name="vector")
    hidden = layers.Dense(512, name="plain")(vector)
    outputs = SquaredDense(512, name="squared")(hidden)
    inference_model = InferenceModel.of(keras.Model(vector, outputs))
    path = write(inference_model, tmp_path / "model.tflite")
    operators, _ = _operators_and_tensors(path)
    assert set(operators) <= {"FULLY_CONNECTED", "DELEGATE"}
    assert error(inference_model, path) <= TOLERANCE


def test_names_the_layers_without_builtin_operators(tmp_path):
    image = layers.Input((4, 4, 2), name="image")
    cubic = {"interpolation": "bicubic"}
    inner = keras.Sequential(
        [layers.Conv2D(2, 1, name="fine"), layers.Resizing(3, 3, **cubic)],
        name="inner",
    )
    inner.layers[1].name = "resize"
    x = keras.ops.i0(inner(image))
    y = layers.UpSampling2D(2, name="resize_1", **cubic)(x)
    half = layers.Lambda(lambda x: keras.ops.cast(x, "float16") * x.shape[1])
    half.name = "half"
    model = keras.Model(image, half(y))
    with pytest.raises(ConversionError) as caught:
        write(InferenceModel.of(model), tmp_path / "model.tflite")
    assert str(caught.value) == (
        "TFLite's builtin operators cannot express "
        "BesselI0 (outside the layers), Mul of float16 (layer 'half'), "
        "ResizeBicubic (layer 'inner/resize'), "
        "ResizeBicubic (layer 'resize_1'): "
        "change the model, or leave the format tflite out"
    )
    assert os.listdir(tmp_path) == []


def test_names_the_layer_whose_kernel_refuses_its_inputs(tmp_path):
    signal = layers.Input((30,), name="signal")
    spectrum = layers.Lambda(lambda x: keras.ops.rfft(x)[0], name="spectrum")
    with pytest.raises(ConversionError) as caught:
        write(
            InferenceModel.of(keras.Model(signal, spectrum(signal))),
            tmp_path / "model.tflite",
        )
    assert re.fullmatch(
        r"LiteRT has no kernel for this RFFT2D \(layer 'spectrum'\): "
        r".*IsPowerOfTwo.*; change the model, or leave the format tflite out",
        str(caught.value),
    )
    assert os.listdir(tmp_path) == []


def test_a_kernel_that_aborts_its_process_is_an_error(tmp_path, monkeypatch):
    """Without the table, two uint8 tensors are compared as quantized ones."""
    monkeypatch.setattr(export, "CONVERSIONS", {})
    monkeypatch.setattr(export, "run_in_child", run_in_child)
    pixels = layers.Input((4,), dtype="uint8", name="pixels")
    same = keras.ops.equal(pixels, keras.ops.flip(pixels, axis=1))
    model = keras.Model(pixels, same)
    with pytest.raises(ConversionError, match="cannot run the .* signal 6 "):
        write(InferenceModel.of(model), tmp_path / "model.tflite")
    assert os.listdir(tmp_path) == []


def test_a_recurrent_layer_needs_a_known_batch_size(tmp_path):
    steps = layers.Input((5, 4), name="steps")
    model = keras.Model(steps, layers.LSTM(3, name="memory")(steps))
    with pytest.raises(ConversionError, match="'memory'.* batch size"):
        write(InferenceModel.of(model), tmp_path / "model.tflite")


def test_a_converter_that_is_killed_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "run_in_child", run_in_child)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho out of memory >&2\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(RuntimeError, match="signal 9 .*: out of memory$"):
        write(
            inference_model_of(CASES["convolutions"]), tmp_path / "model.tflite"
        )
    assert os.listdir(tmp_path) == ["python"]


def test_prints_nothing(tmp_path, capfd):
    write(inference_model_of(CASES["any_order"]), tmp_path / "model.tflite")
    assert capfd.readouterr() == ("", "")


def test_bytes_are_the_same_in_a_second_export(tmp_path):
    model = inference_model_of(CASES["tied_dense"]).model
    paths = [tmp_path / "1.tflite", tmp_path / "2.tflite"]
    for path in paths:
        # Each of these models has a name of its own.
        again = InferenceModel.of(keras.Model(model.inputs, model.outputs))
        write(again, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    perturb(again)
    assert write(again, paths[1]).read_bytes() != paths[0].read_bytes()
