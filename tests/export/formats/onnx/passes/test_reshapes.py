import numpy as np
import pytest

from keras_inception_export.formats.onnx.passes.reshapes import fix_reshapes
from tests.helpers.onnx_graphs import apply_pass, onnx_graph, random_array

# `to` is computed, so that only shape inference knows the result.
TEXT = """({before} x, int64[R] to) => ({after} y) {{
    y = Reshape(x, to)
}}"""

CASES = {
    "known": ("float[2,3]", "float[3,2]", (3, 2), [3, 2]),
    "kept symbol": ("float[N,2,3]", "float[N,6]", (4, 6), [0, 6]),
    "new symbol": ("float[N,2,3]", "float[M,3]", (8, 3), [-1, 3]),
    "moved symbol": ("float[2,N]", "float[N,2]", (6, 2), [-1, 2]),
    "kept and new": ("float[N,H,4]", "float[N,M,2]", (4, 6, 2), [0, -1, 2]),
    "no symbols": ("float[?,6]", "float[?,2,3]", (4, 2, 3), [-1, 2, 3]),
}
SHAPES = {
    "float[N,2,3]": (4, 2, 3),
    "float[N,H,4]": (4, 3, 4),
    "float[?,6]": (4, 6),
}
UNKNOWN = {
    "two axes": ("float[N,6]", "float[A,B]"),
    "rank": ("float[N,6]", "float[]"),
    "empty": ("float[2,0]", "float[0,2]"),
}


def reshape(before, after):
    return onnx_graph(TEXT.format(before=before, after=after))


@pytest.mark.parametrize("before, after, to, shape", CASES.values(), ids=CASES)
def test_a_reshape_gets_a_constant_shape(before, after, to, shape):
    graph = reshape(before, after)
    x = random_array(*to).reshape(SHAPES.get(before, to[::-1]))
    left = apply_pass(fix_reshapes, graph, x=x, to=np.array(to, np.int64))
    assert left == ["Reshape"]
    assert graph.value(graph.nodes[0].input[1]).tolist() == shape


@pytest.mark.parametrize("before, after", UNKNOWN.values(), ids=UNKNOWN)
def test_a_reshape_to_an_unknown_shape_stays(before, after):
    graph = reshape(before, after)
    fix_reshapes(graph)
    assert list(graph.nodes[0].input) == ["x", "to"]


@pytest.mark.parametrize(
    "before, after, same",
    [
        ("float[2,3]", "float[2,3]", True),
        ("float[N,3]", "float[N,3]", True),
        ("float[N,3]", "float[M,3]", True),
        ("float[N,3]", "float[3,N]", False),
        ("float[N,3]", "float[M,1,3]", False),
        ("float[N,H]", "float[A,B]", False),
        ("float[?,?]", "float[?,?]", False),
        ("float[2,H]", "float[A,3]", False),
        ("float[]", "float[N,3]", False),
    ],
)
def test_a_reshape_to_the_same_shape_becomes_an_identity(before, after, same):
    graph = reshape(before, after)
    fix_reshapes(graph)
    (node,) = graph.nodes
    assert (node.op_type == "Identity") == same
    assert len(node.input) == (1 if same else 2)


def test_constant_shapes_and_other_operators_stay():
    graph = onnx_graph(
        "(float[N,6] x) => (float[M,3] y) { n = Neg(x) y = Reshape(n, to) }",
        to=np.array([-1, 3], np.int64),
    )
    left = apply_pass(fix_reshapes, graph, x=random_array(4, 6))
    assert left == ["Neg", "Reshape"]
    assert graph.nodes[1].input[1] == "to"


def test_an_axis_that_is_what_is_left_need_not_be_the_batch():
    graph = onnx_graph(
        """(float[N,H,4] x, int64[1] half) => (float[N,M,2] y) {
            to = Concat<axis=0>(rest, half, two)
            y = Reshape(x, to)
        }""",
        rest=np.array([-1], np.int64),
        two=np.array([2], np.int64),
    )
    feeds = {"x": random_array(2, 3, 4), "half": np.array([4])}
    assert apply_pass(fix_reshapes, graph, **feeds) == ["Concat", "Reshape"]
    assert graph.nodes[1].input[1] == "to"
