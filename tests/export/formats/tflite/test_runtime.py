"""Run and inspect TFLite files that are built by hand."""

import subprocess
import sys

import numpy as np
import pytest

from keras_inception_export.errors import (
    ArtifactError,
    RequestError,
)
from keras_inception_export.formats.tflite.flatbuffer import Structure
from keras_inception_export.formats.tflite.intermediates import (
    TFLiteIntermediates,
    _real_values,
)
from keras_inception_export.formats.tflite.runtime import open_runner
from tests.helpers.tflite_models import tflite_model

RNG = np.random.default_rng(0)
KERNEL = RNG.standard_normal((300, 3), "float32")
X = RNG.standard_normal((2, 3), "float32")
PRODUCT = X.astype("float64") @ KERNEL.T


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """A dense layer with ReLU, whose kernel is appended to the structure."""
    path = tmp_path_factory.mktemp("dense") / "model.tflite"
    tensors = {"x": (None, 3), "kernel": KERNEL, "bias": np.zeros(300, "f4")}
    data = tflite_model(
        {**tensors, "dense/MatMul;dense/bias": (1, 300), "y": (1, 300)},
        [
            (
                "FULLY_CONNECTED",
                ["x", "kernel", "bias"],
                "dense/MatMul;dense/bias",
            ),
            ("RELU", ["dense/MatMul;dense/bias"], "y"),
        ],
        ["x"],
        ["y"],
    )
    Structure(data).save(path)
    return path


def test_a_process_without_keras_and_tensorflow_runs_it(artifact, tmp_path):
    program = """if True:
        import sys
        sys.modules |= {"keras": None, "tensorflow": None}
        from pathlib import Path
        import numpy as np
        from keras_inception_export.formats.tflite.runtime import open_runner
        runner = open_runner(Path(sys.argv[1]), threads=1)
        np.savez(sys.argv[3], **runner.run({"x": np.load(sys.argv[2])}))
    """
    feed, outputs = tmp_path / "x.npy", tmp_path / "outputs.npz"
    np.save(feed, X)
    subprocess.run(
        [sys.executable, "-c", program, artifact, feed, outputs], check=True
    )
    y = np.load(outputs)["y"]
    assert np.abs(y - PRODUCT.clip(0)).max() < 1e-5
    assert np.abs(y - (PRODUCT * 1.001).clip(0)).max() > 1e-4


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"x": np.zeros((1, 3), "float64")},
        {"x": np.zeros((1, 4), "float32")},
        {"x": np.zeros(3, "float32")},
        {"z": np.zeros((1, 3), "float32")},
    ],
)
def test_refuses_other_inputs(feeds, artifact):
    with pytest.raises(RequestError, match="received .*, expected"):
        open_runner(artifact).run(feeds)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:8],
        lambda data: b"",
        lambda data: b"\0" * len(data),
        None,
    ],
)
def test_refuses_a_damaged_or_missing_file(damage, artifact, tmp_path):
    path = tmp_path / "model.tflite"
    if damage:
        path.write_bytes(damage(artifact.read_bytes()))
    with pytest.raises(ArtifactError, match="complete TFLite file") as caught:
        open_runner(path)
    assert "\n" not in str(caught.value)


def test_refuses_a_tensor_of_any_size(tmp_path):
    path = tmp_path / "model.tflite"
    tensors = {"x": (None, 3), "between": (2**31 - 1, 3), "y": (1, 3)}
    operators = [("RELU", ["x"], "between"), ("RELU", ["between"], "y")]
    path.write_bytes(tflite_model(tensors, operators, ["x"], ["y"]))
    with pytest.raises(ArtifactError, match="a tensor of more than 4 GB"):
        open_runner(path)


def test_reads_internal_tensors(artifact):
    intermediates = TFLiteIntermediates(artifact)
    product = "dense/MatMul;dense/bias"
    names = intermediates.names()
    assert (names[product], names["y"]) == ("dense/MatMul", "y")
    feeds = [{"x": X[:1]}, {"x": X[1:]}]
    for row, tensors in enumerate(intermediates.read([product, "z"], feeds)):
        ((name, values),) = tensors
        assert name == product
        assert np.abs(values - PRODUCT[row]).max() < 1e-5
        assert np.abs(values - PRODUCT[1 - row]).max() > 0.1


@pytest.mark.parametrize(
    ("scales", "zeros", "axis", "expected"),
    [
        ([], [], 0, [[1, 2], [3, 4]]),
        ([0.5], [1], 0, [[0, 0.5], [1, 1.5]]),
        ([0.5, 2], [1, 2], 0, [[0, 0.5], [2, 4]]),
        ([0.5, 2], [1, 2], 1, [[0, 0], [1, 4]]),
    ],
)
def test_internal_tensors_are_dequantized(scales, zeros, axis, expected):
    class Interpreter:
        def get_tensor(self, index):
            return np.array([[1, 2], [3, 4]], "int8")

    tensor = {
        "index": 0,
        "quantization_parameters": {
            "scales": np.float32(scales),
            "zero_points": np.int32(zeros),
            "quantized_dimension": axis,
        },
    }
    np.testing.assert_array_equal(_real_values(Interpreter(), tensor), expected)
