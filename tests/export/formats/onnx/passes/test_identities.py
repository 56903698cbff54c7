import numpy as np
import pytest

from keras_inception_export.formats.onnx.passes.identities import (
    remove_identities,
)
from tests.helpers.onnx_graphs import apply_pass, onnx_graph, random_array

X = random_array(2, 3)
CASES = {
    "between nodes": (
        "(float[N,3] x) => (float[N,3] y) {"
        " a = Relu(x) b = Identity(a) c = Identity(b) y = Neg(c) }",
        ["Relu", "Neg"],
    ),
    "of an input": (
        "(float[N,3] x) => (float[N,3] y) { a = Identity(x) y = Neg(a) }",
        ["Neg"],
    ),
    "before an output": (
        "(float[N,3] x) => (float[N,3] y) { a = Relu(x) y = Identity(a) }",
        ["Relu"],
    ),
    "output read by a node": (
        "(float[N,3] x) => (float[N,3] y, float[N,3] z) {"
        " a = Relu(x) y = Identity(a) z = Neg(a) }",
        ["Relu", "Neg"],
    ),
    "two outputs with one value": (
        "(float[N,3] x) => (float[N,3] y, float[N,3] z) {"
        " a = Relu(x) y = Identity(a) z = Identity(a) }",
        ["Relu", "Identity"],
    ),
    "an output and its copy": (
        "(float[N,3] x) => (float[N,3] a, float[N,3] z) {"
        " a = Relu(x) z = Identity(a) }",
        ["Relu", "Identity"],
    ),
    "a copy before its original": (
        "(float[N,3] x) => (float[N,3] z, float[N,3] a) {"
        " a = Relu(x) z = Identity(a) }",
        ["Relu", "Identity"],
    ),
    "an input as an output": (
        "(float[N,3] x) => (float[N,3] y) { y = Identity(x) }",
        ["Identity"],
    ),
}


@pytest.mark.parametrize("text, expected", CASES.values(), ids=CASES)
def test_no_identity_is_left_that_no_output_needs(text, expected):
    assert apply_pass(remove_identities, onnx_graph(text), x=X) == expected


@pytest.mark.parametrize("condition", [True, False])
def test_identities_in_bodies_are_removed(condition):
    graph = onnx_graph(
        """(float[N,3] x, bool c) => (float[N,3] y) {
            a = Identity(x)
            y = If(c) <
                then_branch = t () => (float[N,3] p) {
                    b = Relu(a) d = Identity(b) p = Identity(d)
                },
                else_branch = e () => (float[N,3] q) { q = Identity(a) }
            >
        }"""
    )
    left = apply_pass(remove_identities, graph, x=X, c=np.array(condition))
    assert left == ["If"]
    bodies = {item.name: item.g for item in graph.nodes[0].attribute}
    assert [x.op_type for x in bodies["then_branch"].node] == ["Relu"]
    # A body cannot return a value from outside without a node.
    assert [x.op_type for x in bodies["else_branch"].node] == ["Identity"]
    assert bodies["else_branch"].node[0].input == ["x"]
