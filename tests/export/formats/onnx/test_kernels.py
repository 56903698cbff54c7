import numpy as np
import onnxruntime
import pytest

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.onnx.kernels import (
    check_runnable,
    widen_integers,
)
from tests.helpers.onnx_graphs import onnx_graph, operators

NARROW = """(uint8[N,3] x) => (uint8[N] y) {
    m = Max(x, one)
    y = ReduceSum<keepdims=0>(m, axes)
}"""
FLOATS = """(float[N,3] x) => (float[N,3] y) { y = Add(x, x) }"""
BOOLEANS = (
    """(bool[N,3] x) => (int64[N] y) { y = ArgMax<axis=1,keepdims=0>(x) }"""
)

IDENTITY = """(float[N,3] x) => (bool[N,3] y) {
    y = EyeLike<dtype=9, k=1>(x)
}"""


def run(graph, **feeds):
    content = graph.model(held=graph.constants).SerializeToString()
    session = onnxruntime.InferenceSession(content)
    return session.run(None, feeds)[0]


def test_a_sum_of_bytes_is_computed_in_wider_integers_and_wraps():
    constants = {
        "one": np.array([1], np.uint8),
        "axes": np.array([1], np.int64),
    }
    graph = onnx_graph(NARROW, **constants)
    with pytest.raises(ConversionError, match="node 'y' cannot .*ReduceSum"):
        check_runnable(graph)
    widen_integers(graph)
    check_runnable(graph)
    # Max can be computed in bytes.
    assert operators(graph) == ["Max", "Cast", "ReduceSum", "Cast"]
    x = np.array([[250, 3, 9], [0, 1, 2]], np.uint8)
    result = run(graph, x=x)
    np.testing.assert_array_equal(result, np.array([6, 4], np.uint8))


def test_booleans_are_widened_and_other_outputs_are_not():
    graph = onnx_graph(BOOLEANS)
    widen_integers(graph)
    assert operators(graph) == ["Cast", "ArgMax"]
    assert run(graph, x=np.array([[False, True, True]])) == [1]


def test_the_type_that_an_attribute_names_is_widened():
    graph = onnx_graph(IDENTITY)
    with pytest.raises(ConversionError, match="node 'y' cannot .*EyeLike"):
        check_runnable(graph)
    widen_integers(graph)
    check_runnable(graph)
    assert operators(graph) == ["EyeLike", "Cast"]
    result = run(graph, x=np.zeros((2, 3), "float32"))
    np.testing.assert_array_equal(result, np.eye(2, 3, 1, dtype=bool))


def test_what_can_be_run_is_not_changed():
    graph = onnx_graph(FLOATS)
    widen_integers(graph)
    check_runnable(graph)
    assert operators(graph) == ["Add"]


def test_the_layer_that_cannot_be_run_is_named():
    graph = onnx_graph(FLOATS.replace("float", "complex64"))
    graph.nodes[0].name = "block/add/Add"
    graph.nested_names["block/add"] = "around/block/add"
    with pytest.raises(ConversionError, match="layer 'around/block/add' can"):
        check_runnable(graph)
