"""Rewrites of layers before int8."""

import pytest

from keras_inception_export.formats.onnx.quantize.passes.layers import (
    fuse_biases,
)
from tests.helpers.onnx_graphs import apply_pass, onnx_graph, random_array

MATRIX = random_array(3, 4)
PRODUCT = "p = MatMul(x, kernel) y = Add(p, bias)"
SEPARATE = ["MatMul", "Add"]


@pytest.mark.parametrize(
    ("nodes", "bias", "expected"),
    [
        (PRODUCT, random_array(4), ["Gemm"]),
        ("p = MatMul(x, kernel) y = Add(bias, p)", random_array(4), ["Gemm"]),
        (PRODUCT, random_array(1), SEPARATE),
        ("p = MatMul(x, kernel) y = Mul(p, bias)", random_array(4), None),
        ("p = MatMul(x, kernel) y = Add(p, p)", random_array(4), None),
        ("p = Gemm(x, kernel) y = Add(p, bias)", random_array(4), None),
        (
            "p = MatMul(x, kernel) b = Neg(p) a = Add(p, bias) y = Mul(a, b)",
            random_array(4),
            None,
        ),
    ],
)
def test_biases_are_fused(nodes, bias, expected):
    graph = onnx_graph(
        f"(float[N,3] x) => (float[N,4] y) {{ {nodes} }}",
        kernel=MATRIX,
        bias=bias,
    )
    before = [node.op_type for node in graph.nodes]
    operators = apply_pass(
        lambda graph: fuse_biases(graph, ()),
        graph,
        rtol=1e-6,
        x=random_array(2, 3, seed=1),
    )
    assert operators == (expected or before)


@pytest.mark.parametrize(
    ("shape", "float_layers"), [("N,5,3", ()), ("N,3", ("dense",))]
)
def test_biases_stay_separate(shape, float_layers):
    graph = onnx_graph(
        f"(float[{shape}] x) => (float[{shape[:-1]}4] y) {{ {PRODUCT} }}",
        kernel=MATRIX,
        bias=random_array(4),
    )
    graph.nodes[0].name = "dense/MatMul"
    fuse_biases(graph, float_layers)
    assert [node.op_type for node in graph.nodes] == SEPARATE
