import builtins
import os
import subprocess
import sys
from pathlib import Path

import keras
import onnx as onnx_package
import pytest
import tensorflow as tf
from keras import layers
from onnx.reference import ReferenceEvaluator

from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    RequestError,
    RuntimeMissingError,
)
from keras_inception_export.formats.onnx import runtime as onnx
from keras_inception_export.model.inference_model import InferenceModel
from tests.helpers.format_cases import (
    CASES,
    feeds_of,
    inference_model_of,
    keras_outputs,
    largest_error,
    perturb,
)

# Relative to an output's largest value. The largest error measured was 9e-7.
TOLERANCE = 4e-6


def attention():
    steps = layers.Input((None, 8), name="steps")
    attended = layers.MultiHeadAttention(2, 4)(steps, steps)
    x = layers.LayerNormalization()(layers.Add()([steps, attended]))
    return keras.Model(steps, layers.Dense(3, "gelu", name="out")(x))


def kinds_of_convolution():
    image = layers.Input((12, 12, 4), name="image")
    x = layers.Conv2D(8, 3, strides=2, groups=2, padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv2D(6, 3, padding="same")(layers.ReLU()(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2DTranspose(5, 3, strides=2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(image, layers.Flatten(name="flat")(x))


def other_dimensions():
    line = layers.Input((20, 3), name="line")
    x = layers.Conv1D(4, 3, padding="causal", dilation_rate=2)(line)
    x = layers.SeparableConv1D(6, 3, activation="gelu")(x)
    volume = layers.Input((6, 6, 6, 2), name="volume")
    y = layers.Conv3D(4, 3, padding="same")(volume)
    y = layers.MaxPooling3D(2)(layers.BatchNormalization()(y))
    return keras.Model(
        [line, volume],
        [
            layers.GlobalMaxPooling1D(name="of_line")(x),
            layers.GlobalAveragePooling3D(name="of_volume")(y),
        ],
    )


def shared_layer():
    image = layers.Input((8, 8, 3), name="image")
    inner = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(3, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
        ],
        name="inner",
    )
    return keras.Model(image, inner(inner(image)))


def copies():
    vector = layers.Input((4,), name="vector")
    hidden = layers.Dense(3, name="hidden")(vector)
    outputs = {"one": hidden, "same": hidden, "given": vector}
    return keras.Model(vector, outputs)


ALL_CASES = CASES | {
    case.__name__: case
    for case in (
        attention,
        kinds_of_convolution,
        other_dimensions,
        shared_layer,
        copies,
    )
}


def write(inference_model, folder, **options):
    path = folder / "model.onnx"
    onnx.write(inference_model, path, **options)
    return path


def checked(path):
    """Load a file after the full check."""
    onnx_package.checker.check_model(str(path), full_check=True)
    return onnx_package.load(str(path))


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """The file of a small model; not to be changed."""
    folder = tmp_path_factory.mktemp("scores")
    return write(inference_model_of(CASES["convolutions"]), folder)


@pytest.mark.parametrize("case", ALL_CASES.values(), ids=ALL_CASES)
def test_computes_what_keras_computes(case, tmp_path):
    inference_model = inference_model_of(case)
    path = write(inference_model, tmp_path)
    assert os.listdir(tmp_path) == ["model.onnx"]
    checked(path)
    runner = onnx.open_runner(path, threads=1)
    assert runner.inputs == inference_model.inputs
    assert runner.outputs == inference_model.outputs
    for batch in (1, 3):
        feeds = feeds_of(inference_model, batch)
        outputs = runner.run(feeds)
        expected = keras_outputs(inference_model, feeds)
        assert list(outputs) == list(expected)
        assert largest_error(outputs, expected) <= TOLERANCE
    perturb(inference_model)
    assert (
        largest_error(outputs, keras_outputs(inference_model, feeds))
        > TOLERANCE
    )


@pytest.mark.parametrize("opset", onnx.OPSETS)
def test_writes_every_opset(opset, tmp_path):
    inference_model = inference_model_of(kinds_of_convolution)
    model = checked(write(inference_model, tmp_path, opset=opset))
    assert [entry.version for entry in model.opset_import] == [opset]
    feeds = feeds_of(inference_model, 2)
    expected = keras_outputs(inference_model, feeds)
    outputs = onnx.open_runner(tmp_path / "model.onnx").run(feeds)
    assert largest_error(outputs, expected) <= TOLERANCE
    (reference,) = ReferenceEvaluator(model).run(None, feeds)
    assert largest_error({"flat": reference}, expected) <= TOLERANCE


@pytest.mark.parametrize("opset", [12, 19])
def test_refuses_an_opset_it_cannot_write(opset, tmp_path):
    with pytest.raises(RequestError, match=f"opset {opset}.* 13 to 18"):
        write(inference_model_of(copies), tmp_path, opset=opset)
    assert not os.listdir(tmp_path)


def test_lets_no_log_of_tf2onnx_through(tmp_path, caplog, capsys):
    # What is left behind by a SavedModel that was loaded.
    left_behind = tf.compat.v1.get_default_graph()
    left_behind.add_to_collection("table_initializer", None)
    matrix = layers.Input((3, 3), name="matrix")
    model = keras.Model(matrix, SingularValues(name="singular")(matrix))
    with pytest.raises(ConversionError):
        write(InferenceModel.of(model), tmp_path)
    left_behind.clear_collection("table_initializer")
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


def test_leaves_the_model_as_it_was(tmp_path):
    inference_model = inference_model_of(CASES["normalization"])
    feeds = feeds_of(inference_model, 2)
    before = keras_outputs(inference_model, feeds)
    attributes = [set(vars(layer)) for layer in inference_model.model.layers]
    write(inference_model, tmp_path)
    assert largest_error(keras_outputs(inference_model, feeds), before) == 0
    assert [
        set(vars(layer)) for layer in inference_model.model.layers
    ] == attributes


@keras.saving.register_keras_serializable("test_onnx")
class SingularValues(layers.Layer):
    def call(self, inputs):
        return keras.ops.svd(inputs, compute_uv=False)


@pytest.mark.parametrize("nested", [False, True])
def test_refuses_by_name_what_onnx_lacks(nested, tmp_path):
    matrix = layers.Input((3, 3), name="matrix")
    inner = SingularValues(name="singular")
    if nested:
        inner = keras.Sequential([layers.Input((3, 3)), inner], name="inner")
    inference_model = InferenceModel.of(keras.Model(matrix, inner(matrix)))
    path = "inner/singular" if nested else "singular"
    with pytest.raises(ConversionError, match=f"'{path}' computes Svd,"):
        write(inference_model, tmp_path)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("kept", [0, 8, 0.5, 0.999])
def test_refuses_a_truncated_file(scores, kept, tmp_path):
    content = scores.read_bytes()
    length = kept if isinstance(kept, int) else int(kept * len(content))
    path = tmp_path / "model.onnx"
    path.write_bytes(content[:length])
    with pytest.raises(ArtifactError, match="cannot be opened") as caught:
        onnx.open_runner(path)
    assert "\n" not in str(caught.value)


def test_names_the_missing_runtime(scores, monkeypatch):
    real_import = builtins.__import__

    def without(name, *arguments):
        if name == "onnxruntime":
            raise ImportError(name)
        return real_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RuntimeMissingError, match="pip install onnxruntime"):
        onnx.open_runner(scores)


def test_runs_without_keras_and_tensorflow(scores):
    script = (
        "import sys, pathlib\n"
        "from keras_inception_export.formats.registry import onnx\n"
        "onnx.open_runner(pathlib.Path(sys.argv[1]))\n"
        "heavy = {'keras', 'tensorflow', 'tf2onnx', 'onnx'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script, scores], check=True)


DIGESTS = """
import hashlib, pathlib, sys
from tests.export.formats.onnx import test_export as test_onnx
folder = pathlib.Path(sys.argv[1])
for name in ("recurrent", "shared_layer", "copies", "convolutions"):
    inference model = test_onnx.twin_of(test_onnx.ALL_CASES[name])
    for attempt in range(2):
        path = test_onnx.write(inference model, folder)
        print(name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def test_writes_the_same_bytes_in_every_process(tmp_path):
    printed = set()
    for seed in ("0", "1"):
        result = subprocess.run(
            [sys.executable, "-c", DIGESTS, str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        printed.update(result.stdout.split("\n"))
    digests = sorted(line.split()[0] for line in printed if line)
    assert digests == ["convolutions", "copies", "recurrent", "shared_layer"]
