"""Rewrites of layers before int8."""

import numpy as np
import pytest

from keras_inception_export.formats.onnx.quantize.passes.layers import (
    fuse_biases,
    pad_input_channels,
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


@pytest.mark.parametrize(
    ("before", "filters", "channels", "float_layers", "expected"),
    [
        ("a = Identity(x)", 16, 3, (), 3),
        ("a = Transpose<perm=[0, 1, 3, 2]>(x)", 16, 3, (), 4),
        ("a = Transpose<perm=[0, 1, 3, 2]>(x)", 16, 1, (), 4),
        ("a = Reshape(x, same)", 16, 3, (), 4),
        ("a = Transpose<perm=[0, 1, 3, 2]>(x)", 16, 4, (), 4),
        ("a = Transpose<perm=[0, 1, 3, 2]>(x)", 8, 3, (), 3),
        ("a = Transpose<perm=[0, 1, 3, 2]>(x)", 18, 3, (), 3),
        ("a = Transpose<perm=[0, 1, 3, 2]>(x)", 16, 3, ("conv",), 3),
        ("a = Relu(x)", 16, 3, (), 3),
    ],
)
def test_input_channels_are_padded(
    before, filters, channels, float_layers, expected
):
    """A first convolution of images gets a multiple of four channels."""
    graph = onnx_graph(
        f"(float[N,{channels},5,5] x) => (float[N,{filters},3,3] y) "
        f"{{ {before} y = Conv(a, kernel) }}",
        kernel=random_array(filters, channels, 3, 3),
        same=np.zeros(4, np.int64),
    )
    graph.nodes[-1].name = "conv/Conv"

    def rewrite(graph):
        pad_input_channels(graph, float_layers)
        graph.nodes.sort(key=lambda node: node.op_type == "Conv")

    feeds = random_array(2, channels, 5, 5, seed=1)
    operators = apply_pass(rewrite, graph, rtol=1e-6, x=feeds)
    assert graph.constants["kernel"].load().shape[1] == expected
    assert graph.constants["kernel"].shape[1] == expected
    assert operators.count("Pad") == int(expected > channels)


def test_convolutions_of_one_image_share_the_padding():
    graph = onnx_graph(
        "(float[N,3,5,5] x) => (float[N,16,3,3] y, float[N,16,3,3] z)"
        "{ y = Conv(x, first) z = Conv(x, second) }",
        first=random_array(16, 3, 3, 3),
        second=np.ones((16, 3, 3, 3), np.float32),
    )
    pad_input_channels(graph, ())
    assert [node.op_type for node in graph.nodes].count("Pad") == 1
    assert graph.nodes[0].input[0] == graph.nodes[1].input[0] != "x"


@pytest.mark.parametrize(
    "nodes",
    [
        "y = Conv<group=2>(x, kernel)",
        "a = Conv(x, kernel) b = Conv(x, kernel) y = Add(a, b)",
    ],
    ids=["groups", "shared kernel"],
)
def test_input_channels_stay(nodes):
    graph = onnx_graph(
        f"(float[N,C,5,5] x) => (float[N,16,3,3] y) {{ {nodes} }}",
        kernel=random_array(16, 3, 3, 3),
    )
    pad_input_channels(graph, ())
    assert graph.constants["kernel"].shape == (16, 3, 3, 3)
