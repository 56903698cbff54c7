import numpy as np
import onnx
import pytest

from keras_inception_export.formats.onnx.passes.sorting import (
    depth_first,
    sort_depth_first,
)
from tests.helpers.onnx_graphs import apply_pass, onnx_graph, random_array


@pytest.mark.parametrize(
    "nodes",
    [
        "b = Neg(x) a = Relu(x) c = Neg(b) y = Add(a, c) z = Abs(b)",
        "a = Relu(x) b = Neg(x) z = Abs(b) c = Neg(b) y = Add(a, c)",
        "b = Neg(x) u = Exp(b) z = Abs(b) c = Neg(b) a = Relu(x) y = Add(a, c)",
    ],
)
def test_the_order_does_not_depend_on_the_order_before(nodes):
    graph = onnx_graph(
        f"(float[N,3] x) => (float[N,3] y, float[N,3] z) {{ {nodes} }}"
    )
    apply_pass(sort_depth_first, graph, x=random_array(2, 3))
    assert [node.name for node in graph.nodes] == ["a", "b", "c", "y", "z"]


def test_what_a_body_reads_is_kept_and_precedes_it():
    graph = onnx_graph(
        """(float[N,4] x, bool c) => (float[N,2] y) {
            a, unread = Split<axis=1,num_outputs=2>(x)
            b = Neg(a)
            n = Exp(unread)
            y = If(c) <
                then_branch = t () => (float[N,2] p) { p = Add(b, k) },
                else_branch = e () => (float[N,2] q) { q = Exp(a) }
            >
        }""",
        k=random_array(2),
        spare=random_array(2),
    )
    feeds = {"x": random_array(2, 4), "c": np.array(True)}
    apply_pass(sort_depth_first, graph, **feeds)
    assert [node.name for node in graph.nodes] == ["a", "b", "y"]
    assert list(graph.constants) == ["k"]


def test_a_long_chain_needs_no_recursion():
    nodes = [
        onnx.helper.make_node("Neg", [f"v{i}"], [f"v{i + 1}"])
        for i in range(3000)
    ]
    assert depth_first(nodes[::-1], ["v3000"]) == nodes
