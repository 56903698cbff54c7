import numpy as np
import pytest

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.onnx.runtime import (
    QUANTIZATION,
    open_runner,
)
from keras_inception_export.formats.onnx.serialize import write_file
from tests.helpers.onnx_graphs import onnx_graph, random_array, run_graph

X, T = random_array(2, 3), np.array([1, 2], np.int8)


@pytest.fixture
def graph():
    graph = onnx_graph(
        """(float[N,3] x, int8[2] t) => (float[N,3] y, double[2] z) {
            m = MatMul(x, kernel)
            y = Relu(m)
            z = Cast<to=11>(t)
        }""",
        kernel=random_array(3, 3, seed=1),
    )
    graph.metadata = {QUANTIZATION: '{"t": {"scale": 0.5, "zero_point": 3}}'}
    return graph


@pytest.fixture
def path(graph, tmp_path):
    write_file(graph, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_a_runner_computes_the_outputs_in_order(graph, path):
    runner = open_runner(path, threads=1)
    outputs = runner.run({"x": X, "t": T})
    assert list(outputs) == ["y", "z"]
    for actual, expected in zip(
        outputs.values(), run_graph(graph, x=X, t=T), strict=True
    ):
        np.testing.assert_allclose(actual, expected, rtol=1e-6)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(
            outputs["y"], outputs["y"] * 1.001, rtol=1e-6
        )


@pytest.mark.parametrize("names", [["z"], ["z", "y"], []])
def test_a_runner_computes_only_the_named_outputs(path, names):
    outputs = open_runner(path).run({"x": X, "t": T}, names)
    assert list(outputs) == names


def test_specs_have_numpy_dtypes_and_quantization(path):
    runner = open_runner(path)
    assert runner.inputs == (
        TensorSpec("x", (None, 3), "float32"),
        TensorSpec("t", (2,), "int8", scale=0.5, zero_point=3),
    )
    assert [spec.dtype for spec in runner.outputs] == ["float32", "float64"]


@pytest.mark.parametrize("kept", [None, 0, 8, 0.5, 0.999])
@pytest.mark.parametrize("appended", [b"", b"\x3a\x00"])
def test_a_damaged_file_is_refused(path, kept, appended):
    content = path.read_bytes()
    if kept is None:
        path.unlink()
    else:
        length = kept if isinstance(kept, int) else int(kept * len(content))
        path.write_bytes(content[:length])
    with pytest.raises(ArtifactError, match="cannot be opened") as caught:
        open_runner(path, appended=appended)
    assert "\n" not in str(caught.value)
