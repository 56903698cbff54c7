import numpy as np
import pytest

from keras_inception_export.formats.onnx.graph import Constant
from keras_inception_export.formats.onnx.passes.simplify import simplify
from tests.helpers.onnx_graphs import (
    apply_pass,
    onnx_graph,
    operators,
    random_array,
)

# As tf2onnx leaves a convolution with batch norm, a global pooling along the
# channels-last axes, and a reshape to a computed shape.
TEXT = """(float[N,3,6,6] x) => (float[N,4] y, float[N,4] z) {
    s = Mul(gamma, factor)
    c = Conv(x, kernel)
    h = Identity(c)
    m = Mul(h, s)
    a = Add(m, beta)
    t = Transpose<perm=[0,2,3,1]>(a)
    r = ReduceMax<keepdims=0>(t, space)
    i = Identity(r)
    l = Shape(i)
    n = Slice(l, zero, one)
    w = Concat<axis=0>(n, four)
    y = Reshape(i, w)
    z = Neg(i)
    unused = Exp(i)
}"""


def network():
    return onnx_graph(
        TEXT,
        kernel=random_array(4, 3, 3, 3),
        gamma=random_array(1, 4, 1, 1, seed=1),
        factor=random_array(1, 4, 1, 1, seed=2),
        beta=random_array(1, 4, 1, 1, seed=3),
        space=np.array([1, 2], np.int64),
        zero=np.array([0], np.int64),
        one=np.array([1], np.int64),
        four=np.array([4], np.int64),
    )


def test_the_passes_together_leave_only_the_layers():
    graph = network()
    left = apply_pass(simplify, graph, rtol=2e-6, x=random_array(2, 3, 6, 6))
    assert left == ["Conv", "ReduceMax", "Neg"]
    assert len(graph.constants) == 3


def test_the_order_of_the_nodes_before_does_not_matter():
    graph = network()
    graph.nodes.reverse()
    simplify(graph)
    assert operators(graph) == ["Conv", "ReduceMax", "Neg"]


def test_a_pass_that_changes_a_value_is_found():
    def wrong(graph):
        kernel = graph.constants["kernel"]
        graph.constants["kernel"] = Constant.of(lambda: kernel.load() * 1.0001)

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        apply_pass(wrong, network(), rtol=2e-6, x=random_array(2, 3, 6, 6))
