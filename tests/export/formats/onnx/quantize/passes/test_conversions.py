"""Conversions that are moved or removed after quantization."""

import numpy as np
import pytest

from keras_inception_export.formats.onnx.quantize.passes.conversions import (
    keep_float,
    pad_integers,
    skip_rounding,
)
from tests.helpers.onnx_graphs import (
    apply_pass,
    onnx_graph,
    operators,
    random_array,
)

CONSTANTS = {
    "s": np.float32(0.05),
    "t": np.float32(0.1),
    "z": np.uint8(100),
    "w": np.array([0, 1, 0, 2]),
    "k": random_array(3, 3),
}
QUANTIZED = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z)"
FLOAT_PAD = [*["QuantizeLinear", "DequantizeLinear"], "Pad"]
FLOAT_PAD += FLOAT_PAD[:2]


def build(nodes, outputs="float[N,M] y"):
    text = f"(float[N,3] x) => ({outputs}) {{ {nodes} }}"
    return onnx_graph(text, opset=19, **CONSTANTS)


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (
            f"{QUANTIZED} p = Pad(d, w) r = QuantizeLinear(p, s, z)"
            " y = DequantizeLinear(r, s, z)",
            ["QuantizeLinear", "Pad", "DequantizeLinear"],
        ),
        (
            f"{QUANTIZED} p = Pad(d, w) r = QuantizeLinear(p, t, z)"
            " y = DequantizeLinear(r, t, z)",
            FLOAT_PAD,
        ),
        (
            f"{QUANTIZED} p = Pad(d, w) r = QuantizeLinear(p, s, z)"
            " e = DequantizeLinear(r, s, z) y = Add(e, p)",
            [*FLOAT_PAD, "Add"],
        ),
        (
            f"{QUANTIZED} p = Pad(d, w, s) r = QuantizeLinear(p, s, z)"
            " y = DequantizeLinear(r, s, z)",
            FLOAT_PAD,
        ),
        (
            "p = Pad(x, w) r = QuantizeLinear(p, s, z)"
            " y = DequantizeLinear(r, s, z)",
            FLOAT_PAD[2:],
        ),
        (f"{QUANTIZED} p = Pad(d, w) y = Neg(p)", [*FLOAT_PAD[:3], "Neg"]),
    ],
    ids=[
        "equal scales",
        "other scale",
        "read twice",
        "with a value",
        "not quantized",
        "read in float",
    ],
)
def test_integers_are_padded(nodes, expected):
    def rewrite(graph):
        pad_integers(graph)
        graph.sort()

    x = random_array(2, 3)
    assert apply_pass(rewrite, build(nodes), x=x) == expected


PAIR = "aq = QuantizeLinear(a, s, z) ad = DequantizeLinear(aq, s, z)"


@pytest.mark.parametrize(
    ("before", "after", "chosen", "expected"),
    [
        ("a = MatMul(x, k)", "y = Neg(ad)", {"a"}, "a"),
        ("a = MatMul(x, k)", "y = Neg(ad)", set(), "a"),
        ("a = Transpose(x)", "y = Neg(ad)", {"a"}, "ad"),
        ("a = Transpose(x)", "y = Neg(ad)", set(), "a"),
        ("a = MatMul(x, k)", "b = Transpose(ad) y = Neg(ad)", {"a", "b"}, "ad"),
        ("a = MatMul(x, k)", "y = Transpose(ad)", {"a", "y"}, "ad"),
        ("a = MatMul(x, k)", "y = Transpose(ad)", {"y"}, "ad"),
        ("a = MatMul(x, k)", "y = QuantizeLinear(ad, s, z)", set(), "ad"),
    ],
)
def test_float_nodes_read_exact_values(before, after, chosen, expected):
    result = build(f"{QUANTIZED} {before} {PAIR} {after}")
    skip_rounding(build(f"{before} y = Neg(a)"), result, chosen)
    assert result.nodes[-1].input[0] == expected


@pytest.mark.parametrize(
    ("chosen", "exact"), [({"p"}, True), ({"p", "a"}, False)]
)
def test_an_activation_needs_its_rounding(chosen, exact):
    """Its clipping is done by the conversion of the product before it."""
    graph = build("p = MatMul(x, k) a = Relu(p) y = Neg(a)")
    result = build(
        "p = MatMul(x, k) q = QuantizeLinear(p, s, z)"
        " d = DequantizeLinear(q, s, z) y = Neg(d)"
    )
    skip_rounding(graph, result, chosen)
    assert result.nodes[-1].input[0] == ("p" if exact else "d")


@pytest.mark.parametrize(
    ("before", "exact"), [("MatMul(x, k)", True), ("Transpose(x)", False)]
)
def test_outputs_are_exact(before, exact):
    result = build(f"a = {before} {PAIR}", "float[N,M] ad")
    skip_rounding(build(f"a = {before}", "float[N,M] a"), result, {"a"})
    result.sort()
    expected = [before.partition("(")[0]]
    if not exact:
        expected += FLOAT_PAD[:2]
    assert operators(result) == expected
    assert result.outputs[0].name == "ad"


MOVED = f"{QUANTIZED} u = Transpose(d) m = Transpose(u)"
ARITHMETIC = ["QuantizeLinear", "Cast", "Sub", "Mul"]
MOVES = ["Transpose", "Transpose"]


@pytest.mark.parametrize(
    ("nodes", "kept", "expected"),
    [
        (f"{QUANTIZED} y = MatMul(d, k)", {"y"}, [*ARITHMETIC, "MatMul"]),
        (f"{QUANTIZED} y = MatMul(d, k)", set(), [*FLOAT_PAD[:2], "MatMul"]),
        ("y = MatMul(x, k)", {"y"}, ["MatMul"]),
        (f"{MOVED} y = MatMul(m, k)", {"y"}, [*ARITHMETIC, *MOVES, "MatMul"]),
        (
            f"{MOVED} a = MatMul(m, k) b = MatMul(m, k) y = Add(a, b)",
            {"a", "b"},
            [*ARITHMETIC, *MOVES, "MatMul", "MatMul", "Add"],
        ),
        (
            f"{QUANTIZED} e = Exp(d) y = MatMul(e, k)",
            {"y"},
            [*FLOAT_PAD[:2], "Exp", "MatMul"],
        ),
    ],
    ids=["kept", "integer", "not quantized", "moved", "shared", "computed"],
)
def test_float_layers_read_no_conversion(nodes, kept, expected):
    def rewrite(graph):
        keep_float(graph, kept)
        graph.sort()

    x = random_array(2, 3)
    assert apply_pass(rewrite, build(nodes), rtol=1e-6, x=x) == expected
