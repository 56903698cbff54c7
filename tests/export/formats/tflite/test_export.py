import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    RequestError,
    RuntimeMissingError,
)
from keras_inception_export.formats.tflite import export as tflite
from keras_inception_export.formats.tflite import (
    flatbuffer as tflite_flatbuffer,
)
from keras_inception_export.model.inference_model import InferenceModel
from tests.helpers.format_cases import (
    CASES,
    feeds_of,
    inference_model_of,
    keras_outputs,
    largest_error,
    perturb,
)

# Relative to an output's largest value. The largest error measured was 8e-7.
TOLERANCE = 4e-6


def write(inference_model, path):
    tflite.write(inference_model, path, opset=18)
    return path


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """The file of a small model, to open or to copy."""
    folder = tmp_path_factory.mktemp("scores")
    return write(
        inference_model_of(CASES["convolutions"]), folder / "model.tflite"
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_computes_what_keras_computes(case, tmp_path):
    inference_model = inference_model_of(case)
    path = write(inference_model, tmp_path / "model.tflite")
    assert os.listdir(tmp_path) == ["model.tflite"]
    runner = tflite.open_runner(path)
    assert runner.inputs == inference_model.inputs
    assert runner.outputs == inference_model.outputs
    for batch in (1, 3):
        feeds = feeds_of(inference_model, batch)
        outputs = runner.run(feeds)
        expected = keras_outputs(inference_model, feeds)
        assert largest_error(outputs, expected) <= TOLERANCE
    perturb(inference_model)
    assert (
        largest_error(outputs, keras_outputs(inference_model, feeds))
        > TOLERANCE
    )


def test_lists_tensors_in_the_declared_order(tmp_path):
    path = write(
        inference_model_of(CASES["any_order"]), tmp_path / "model.tflite"
    )
    interpreter = Interpreter(model_path=str(path))
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
    assert (
        path.stat().st_size <= 1.02 * 4 * inference_model.model.count_params()
    )
    operators, tensors = _operators_and_tensors(path)
    assert "TRANSPOSE" not in operators
    assert list(tensors["conv/kernel"]) == [128, 3, 3, 256]
    assert list(tensors["dense/kernel"]) == [1200, 256]
    assert list(tensors["table/embeddings"]) == [1100, 256]
    feeds = feeds_of(inference_model, 2)
    outputs = tflite.open_runner(path).run(feeds)
    assert (
        largest_error(outputs, keras_outputs(inference_model, feeds))
        <= TOLERANCE
    )


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
    feeds = feeds_of(inference_model, 2)
    outputs = tflite.open_runner(path).run(feeds)
    assert (
        largest_error(outputs, keras_outputs(inference_model, feeds))
        <= TOLERANCE
    )


def test_names_the_layers_without_builtin_operators(tmp_path):
    volume = layers.Input((4, 4, 4, 2), name="volume")
    inner = keras.Sequential(
        [layers.Conv3D(2, 1, name="fine"), layers.MaxPooling3D(2, name="pool")],
        name="inner",
    )
    x = keras.ops.erfinv(inner(volume))
    model = keras.Model(volume, layers.AveragePooling3D(2, name="pool_1")(x))
    with pytest.raises(ConversionError) as caught:
        write(InferenceModel.of(model), tmp_path / "model.tflite")
    assert str(caught.value) == (
        "TFLite's builtin operators cannot express AvgPool3D (layer 'pool_1'), "
        "Erfinv (outside the layers), MaxPool3D (layer 'inner/pool'): "
        "change the model, or leave the format tflite out"
    )
    assert os.listdir(tmp_path) == []


def test_a_recurrent_layer_needs_a_known_batch_size(tmp_path):
    steps = layers.Input((5, 4), name="steps")
    model = keras.Model(steps, layers.LSTM(3, name="memory")(steps))
    with pytest.raises(ConversionError, match="'memory'.* batch size"):
        write(InferenceModel.of(model), tmp_path / "model.tflite")


def test_a_converter_that_is_killed_is_an_error(tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho out of memory >&2\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(ConversionError, match="status -9.*: out of memory$"):
        write(
            inference_model_of(CASES["convolutions"]), tmp_path / "model.tflite"
        )


def test_refuses_a_file_that_the_runtime_cannot_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tflite_flatbuffer, "_LARGEST_FILE", 2**20)
    path = tmp_path / "model.tflite"
    with pytest.raises(ConversionError, match="larger than the 2 GB"):
        write(inference_model_of(CASES["tied_dense"]), path)
    assert not path.exists()


def test_prints_nothing(tmp_path, capfd):
    write(inference_model_of(CASES["any_order"]), tmp_path / "model.tflite")
    assert capfd.readouterr() == ("", "")


def test_bytes_are_the_same_in_every_process(tmp_path):
    program = """if True:
        import sys
        from pathlib import Path
        from tests.helpers.format_cases import CASES, twin_of
        from keras_inception_export.formats.tflite import export as tflite
        tflite.write(twin_of(CASES["recurrent"]), Path(sys.argv[1]), opset=18)
    """
    paths = [tmp_path / f"{seed}.tflite" for seed in range(2)]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program, path],
            env=os.environ | {"PYTHONHASHSEED": path.stem},
            cwd=Path(__file__).parents[2],
            stderr=subprocess.DEVNULL,
        )
        for path in paths
    ]
    assert [child.wait() for child in children] == [0, 0]
    first, second = (path.read_bytes() for path in paths)
    assert first == second


def test_bytes_are_the_same_in_a_second_export(tmp_path):
    model = inference_model_of(CASES["tied_dense"]).model
    paths = [tmp_path / "1.tflite", tmp_path / "2.tflite"]
    for path in paths:
        # Each of these models has a name of its own.
        again = keras.Model(model.inputs, model.outputs)
        write(InferenceModel.of(again), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_process_without_keras_and_tensorflow_runs_it(scores, tmp_path):
    inference_model = inference_model_of(CASES["convolutions"])
    feeds = feeds_of(inference_model, 2)
    np.savez(tmp_path / "feeds.npz", **feeds)
    program = """if True:
        import sys
        sys.modules |= {"keras": None, "tensorflow": None}
        from pathlib import Path
        import numpy as np
        from keras_inception_export.formats.tflite import export as tflite
        runner = tflite.open_runner(Path(sys.argv[1]), threads=1)
        np.savez(sys.argv[3], **runner.run(np.load(sys.argv[2])))
    """
    outputs = tmp_path / "outputs.npz"
    subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            scores,
            tmp_path / "feeds.npz",
            outputs,
        ],
        check=True,
        capture_output=True,
    )
    expected = keras_outputs(inference_model, feeds)
    assert largest_error(np.load(outputs), expected) <= TOLERANCE


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"image": np.zeros((1, 12, 12, 2), "float64")},
        {"image": np.zeros((1, 12, 11, 2), "float32")},
        {"image": np.zeros((12, 12, 2), "float32")},
        {"picture": np.zeros((1, 12, 12, 2), "float32")},
    ],
)
def test_refuses_other_inputs(feeds, scores):
    with pytest.raises(RequestError, match="received .*, expected"):
        tflite.open_runner(scores).run(feeds)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:8],
        lambda data: b"",
        lambda data: b"\0" * len(data),
    ],
)
def test_refuses_a_damaged_file(damage, scores, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(damage(scores.read_bytes()))
    with pytest.raises(ArtifactError, match="complete TFLite file") as caught:
        tflite.open_runner(path)
    assert "\n" not in str(caught.value)


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(ArtifactError, match="complete TFLite file"):
        tflite.open_runner(tmp_path / "model.tflite")


def test_names_the_missing_runtime(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(RuntimeMissingError, match="pip install ai-edge-litert"):
        tflite.open_runner(tmp_path / "model.tflite")
