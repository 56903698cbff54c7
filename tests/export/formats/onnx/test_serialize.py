import numpy as np
import onnx
import pytest

from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.onnx import serialize
from keras_inception_export.formats.onnx.graph import Constant, Graph
from keras_inception_export.formats.onnx.runtime import open_runner
from tests.helpers.onnx_graphs import onnx_graph, random_array, run_graph

X = random_array(2, 40)


@pytest.fixture
def graph():
    """A graph with two large weights, one not contiguous in memory."""
    graph = onnx_graph(
        """(float[N,40] x) => (float[N,40] y, float[N,40] z) {
            m = MatMul(x, k)
            y = Add(m, b)
            z = MatMul(y, t)
        }""",
        k=random_array(40, 40),
        b=random_array(40, seed=1),
        t=random_array(40, 40, seed=2).T,
    )
    graph.metadata = {"key": "value", "other": "value"}
    return graph


def check_outputs(path, graph):
    outputs = list(open_runner(path).run({"x": X}).values())
    expected = run_graph(graph, x=X)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-3)
    return outputs


@pytest.mark.parametrize("chunk", [2**22, 100, 1])
def test_the_file_is_the_message_that_protobuf_writes(
    graph, chunk, tmp_path, monkeypatch
):
    monkeypatch.setattr(serialize, "CHUNK", chunk)
    path = tmp_path / "model.onnx"
    serialize.write_file(graph, path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    expected = graph.model(held=graph.constants)
    assert onnx.load(path) == expected
    assert path.stat().st_size == expected.ByteSize()
    onnx.checker.check_model(str(path), full_check=True)
    check_outputs(path, graph)


@pytest.mark.parametrize("dtype", ["bool", "float16", "bfloat16", "float64"])
def test_large_weights_of_every_dtype_are_written(dtype, tmp_path):
    weight = random_array(40, 40).astype(dtype)
    graph = Graph(18, [], {}, [], [])
    for name, value in (("plain", weight), ("transposed", weight.T)):
        graph.constants[name] = Constant.of(lambda value=value: value)
    serialize.write_file(graph, tmp_path / "model.onnx")
    written = onnx.load(tmp_path / "model.onnx").graph.initializer
    for tensor, value in zip(written, (weight, weight.T), strict=True):
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), value)


@pytest.fixture
def split(graph, tmp_path, monkeypatch):
    """A file that would exceed the limit by one byte, and its weights."""
    size = graph.model(held=graph.constants).ByteSize()
    monkeypatch.setattr(serialize, "PROTOBUF_LIMIT", size - 1)
    path = tmp_path / "model.onnx"
    serialize.write_file(graph, path)
    return path, tmp_path / "model.onnx.data"


def test_weights_beyond_the_limit_are_written_beside_the_file(graph, split):
    path, data = split
    assert data.stat().st_size == 2 * 6400 + (-6400 % serialize.PAGE)
    assert path.stat().st_size < 1000
    onnx.checker.check_model(str(path), full_check=True)
    check_outputs(path, graph)
    content = bytearray(data.read_bytes())
    content[1003] ^= 0x40
    data.write_bytes(content)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check_outputs(path, graph)


def test_a_file_of_exactly_the_limit_is_not_split(graph, tmp_path, monkeypatch):
    size = graph.model(held=graph.constants).ByteSize()
    monkeypatch.setattr(serialize, "PROTOBUF_LIMIT", size)
    serialize.write_file(graph, tmp_path / "model.onnx")
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("kept", [None, 0, 9000])
def test_damaged_weights_beside_the_file_are_refused(split, kept):
    path, data = split
    if kept is None:
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match="cannot be opened"):
        open_runner(path)
