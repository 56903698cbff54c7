import numpy as np
import pytest

from keras_inception_export.formats.onnx.passes.fold_constants import (
    fold_constants,
)
from tests.helpers.onnx_graphs import (
    apply_pass,
    onnx_graph,
    operators,
    random_array,
)

X = random_array(2, 3)
A, B = random_array(3, seed=1), random_array(3, seed=2)
LARGE = np.array([1000, 3], np.int64)


def test_nodes_of_constants_become_constants():
    graph = onnx_graph(
        """(float[N,3] x) => (float[N,3] y) {
            sum = Add(a, b)
            low, high = Split<num_outputs=2>(both)
            scale = Mul(sum, low)
            scaled = Mul(x, scale)
            y = Add(scaled, high)
        }""",
        a=A,
        b=B,
        both=random_array(6),
    )
    assert apply_pass(fold_constants, graph, x=X) == ["Mul", "Add"]


def test_a_large_weight_is_folded_and_keeps_its_path():
    graph = onnx_graph(
        """(float[N,3] x) => (float[N,400] y) {
            turned = Transpose(kernel)
            y = MatMul(x, turned)
        }""",
        weights={"kernel": "dense/kernel"},
        kernel=random_array(400, 3),
    )
    assert apply_pass(fold_constants, graph, x=X) == ["MatMul"]
    assert graph.constants["turned"].weight == "dense/kernel"
    assert graph.constants["turned"].shape == (3, 400)


@pytest.mark.parametrize("sizes, folded", [((30, 3), True), (LARGE, False)])
def test_a_large_result_of_small_inputs_is_not_stored(sizes, folded):
    graph = onnx_graph(
        """(float[N,3] x) => (float[M,3] y) {
            wide = Expand(a, sizes)
            y = Concat<axis=0>(x, wide)
        }""",
        a=A,
        sizes=np.array(sizes, np.int64),
    )
    expected = ["Concat"] if folded else ["Expand", "Concat"]
    assert apply_pass(fold_constants, graph, x=X) == expected


KEPT = {
    "reads an input": "y = Add(x, a)",
    "computes an output": "y = Add(a, b)",
    "random": "r = RandomNormalLike(a) y = Add(x, r)",
    "random without inputs": "r = RandomUniform<shape=[3]>() y = Add(x, r)",
    "without inputs": "r = Constant<value_float=1.0>() y = Add(x, r)",
    "recurrent": "all, r = GRU<hidden_size=3>(steps, w, h) y = Add(x, r)",
    "with a body": """
        r = If(yes) <
            then_branch = t () => (float[3] p) { p = Relu(a) },
            else_branch = e () => (float[3] q) { q = Neg(b) }
        >
        y = Add(x, r)""",
}


@pytest.mark.parametrize("nodes", KEPT.values(), ids=KEPT)
def test_these_nodes_are_not_folded(nodes):
    graph = onnx_graph(
        "(float[N,3] x) => (float[N,3] y) {" + nodes + "}",
        a=A,
        b=B,
        steps=random_array(2, 1, 4),
        w=random_array(1, 9, 4),
        h=random_array(1, 9, 3),
        yes=np.array(True),
    )
    before = operators(graph)
    fold_constants(graph)
    assert operators(graph) == before
