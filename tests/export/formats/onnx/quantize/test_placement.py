"""Which nodes compute on integers."""

import numpy as np
import pytest

from keras_inception_export.formats.onnx.quantize.placement import (
    integer_nodes,
    layer_nodes,
)
from tests.helpers.onnx_graphs import onnx_graph, random_array

CONV = "a = Conv(x, k)"
CASES = {
    "activation of a layer": (f"{CONV} y = Relu(a)", "ay"),
    "activation of an input": ("y = Relu(x)", ""),
    "selection between layers": (
        f"{CONV} b = MaxPool<kernel_shape=[1, 1]>(a) y = Conv(b, k)",
        "aby",
    ),
    "selection before a layer": (
        "b = Transpose<perm=[0, 1, 3, 2]>(x) y = Conv(b, k)",
        "by",
    ),
    "selection after a layer": (f"{CONV} y = Transpose(a)", "ay"),
    "selection after a product": ("a = MatMul(x, m) y = Transpose(a)", "a"),
    "arithmetic between layers": (
        f"{CONV} b = Sigmoid(a) y = Conv(b, k)",
        "aby",
    ),
    "arithmetic after a layer": (f"{CONV} y = Sigmoid(a)", "a"),
    "operator without integers": (f"{CONV} b = Exp(a) y = Conv(b, k)", "ay"),
    "sum of layers": (
        f"{CONV} b = Conv(x, k) c = Add(a, b) y = Conv(c, k)",
        "abcy",
    ),
    "sum with a constant": (f"{CONV} c = Add(a, m) y = Conv(c, k)", "ay"),
    "pad with zeros": (f"{CONV} b = Pad(a, w) y = Conv(b, k)", "aby"),
    "sum with a float value": (
        f"{CONV} b = Exp(x) c = Add(a, b) y = Conv(c, k)",
        "acy",
    ),
    "activation between": (
        f"{CONV} b = Relu(a) c = Sigmoid(b) y = Conv(c, k)",
        "abcy",
    ),
    "selection after a float operator": (
        f"{CONV} b = Exp(a) c = Transpose(b) y = Conv(c, k)",
        "ay",
    ),
    "only float operators": ("b = Exp(x) y = Transpose(b)", ""),
    "selection before no layer": ("b = Transpose(x) y = Exp(b)", ""),
    "selection read in float too": (
        "b = Transpose(x) d = Conv(b, k) c = Exp(b) y = Add(c, d)",
        "d",
    ),
    "shape of a layer": (
        f"{CONV} s = Shape(a) t = Slice(s, zero, four)"
        " b = Reshape(a, t) y = Conv(b, k)",
        "aby",
    ),
    "shape of a selection": (
        "b = Transpose(x) s = Shape(b) c = Reshape(b, s) y = Conv(c, k)",
        "bcy",
    ),
    "pad with a value": (f"{CONV} b = Pad(a, w, v) y = Conv(b, k)", "ay"),
}


def build(nodes):
    graph = onnx_graph(
        f"(float[1,4,4,4] x) => (float[A,B,C,D] y) {{ {nodes} }}",
        k=random_array(4, 4, 1, 1),
        m=random_array(4, 4),
        w=random_array(8).astype("int64") * 0,
        v=random_array(),
        t3=random_array(1, 4, 4),
        integers=np.ones((4, 4), np.int32),
        zero=np.array([0]),
        four=np.array([4]),
    )
    for node in graph.nodes:
        node.name += f"/{node.op_type}"
    return graph


def chosen(nodes, float_layers=()):
    names = integer_nodes(build(nodes), float_layers)
    return "".join(sorted(name[0] for name in names))


@pytest.mark.parametrize(("nodes", "expected"), CASES.values(), ids=CASES)
def test_integer_nodes(nodes, expected):
    assert chosen(nodes) == expected


@pytest.mark.parametrize(
    ("float_layers", "expected"), [("", "abcd"), ("a", "cd"), ("cd", "ab")]
)
def test_float_layers_are_left_out(float_layers, expected):
    nodes = (
        f"{CONV} b = MaxPool<kernel_shape=[1, 1]>(a)"
        " c = Conv(b, k) d = Conv(b, k) y = Exp(d)"
    )
    assert chosen(nodes, float_layers) == expected


def test_layers_have_a_constant_kernel():
    graph = build(
        "a = MatMul(x, x) b = MatMul(a, m) c = MatMul(m, b) "
        "d = MatMul(c, integers) e = MatMul(d, t3) y = Conv(e, k)"
    )
    assert [node.name[0] for node in layer_nodes(graph)] == ["b", "y"]
