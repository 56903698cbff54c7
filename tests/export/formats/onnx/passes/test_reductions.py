import numpy as np
import onnxruntime
import pytest

from keras_inception_export.formats.onnx.passes.reductions import (
    permute_reductions,
    split_reductions,
)
from tests.helpers.onnx_graphs import apply_pass, onnx_graph, random_array

X = random_array(2, 3, 4, 5)


def reduction(nodes, opset):
    return onnx_graph(
        f"(float[2,3,4,5] x, int64[2] free) => (float[A,B] y) {{ {nodes} }}",
        opset=opset,
        space=np.array([1, 2], np.int64),
        first=np.array([0, 1], np.int64),
    )


def moved(graph):
    """Apply the pass; return whether the reduction reads the input."""
    free = np.array([1, 2], np.int64)
    apply_pass(permute_reductions, graph, rtol=1e-6, x=X, free=free)
    return graph.nodes[-1].input[0] == "x"


NHWC = "t = Transpose<perm=[0,2,3,1]>(x) "
CASES = {
    "axes as input": (NHWC + "y = ReduceMax<keepdims=0>(t, space)", 18, True),
    "sum": (NHWC + "y = ReduceSum<keepdims=0>(t, space)", 13, True),
    "attribute": (NHWC + "y = ReduceMean<axes=[1,2],keepdims=0>(t)", 13, True),
    "negative": (NHWC + "y = ReduceMin<axes=[-1],keepdims=0>(t)", 13, True),
    "kept axes": (NHWC + "y = ReduceMax<keepdims=1>(t, space)", 18, False),
    "kept by default": (NHWC + "y = ReduceMax(t, space)", 18, False),
    "order changes": (NHWC + "y = ReduceMax<keepdims=0>(t, first)", 18, False),
    "unknown axes": (NHWC + "y = ReduceMax<keepdims=0>(t, free)", 18, False),
    "all axes": (NHWC + "y = ReduceMax<keepdims=0>(t)", 18, False),
    "default order": (
        "t = Transpose(x) y = ReduceMax<keepdims=0>(t, space)",
        18,
        False,
    ),
    "no Transpose": (
        "t = Neg(x) y = ReduceMax<keepdims=0>(t, space)",
        18,
        False,
    ),
    "of the input": ("y = ReduceMax<keepdims=0>(x, space)", 18, True),
    "no reduction": (NHWC + "y = Neg(t)", 18, False),
}


@pytest.mark.parametrize("nodes, opset, expected", CASES.values(), ids=CASES)
def test_a_reduction_reads_what_its_transpose_reads(nodes, opset, expected):
    assert moved(reduction(nodes, opset)) == expected


SEPARATE = {
    "sum": ("y = ReduceSum<keepdims=0>(x, ends)", 18, 2),
    "kept axes": ("y = ReduceSum(x, ends)", 18, 2),
    "attribute": ("y = ReduceMean<axes=[3,1],keepdims=0>(x)", 13, 2),
    "three axes": ("y = ReduceMean<axes=[0,1,3],keepdims=0>(x)", 13, 3),
    "not the last": ("y = ReduceSum(x, space)", 18, 2),
    "the last": ("y = ReduceMean<axes=[-1,2],keepdims=0>(x)", 13, 1),
    "negative": ("y = ReduceMean<axes=[-1,1]>(x)", 13, 2),
    "maximum": ("y = ReduceMax(x, ends)", 18, 1),
    "all axes": ("y = ReduceSum(x)", 18, 1),
}


@pytest.mark.parametrize("nodes, opset, count", SEPARATE.values(), ids=SEPARATE)
def test_axes_that_are_not_the_last_are_added_up_in_turn(nodes, opset, count):
    graph = onnx_graph(
        f"(float[2,3,4,5] x) => (float[A,B,C,D] y) {{ {nodes} }}",
        opset=opset,
        space=np.array([1, 2], np.int64),
        ends=np.array([1, 3], np.int64),
    )
    graph.layers["y"] = "pool"
    apply_pass(split_reductions, graph, rtol=1e-6, x=X)
    assert [graph.layers[node.name] for node in graph.nodes] == ["pool"] * count


@pytest.mark.parametrize("is_split", [True, False])
@pytest.mark.parametrize("axes", [(1, 3), (1, 2)])
def test_a_sum_over_other_than_the_last_axes_is_accurate(axes, is_split):
    graph = onnx_graph(
        "(float[B,M,N,O] x) => (float[B,3] y) {"
        "y = ReduceSum<keepdims=0>(x, axes) }",
        axes=np.array(axes, np.int64),
    )
    if is_split:
        split_reductions(graph)
    shape = np.full(4, 300)
    shape[0], shape[({1, 2, 3} - {*axes}).pop()] = 2, 3
    x = np.random.default_rng(0).random(shape, "float32")
    content = graph.model(held=graph.constants).SerializeToString()
    (y,) = onnxruntime.InferenceSession(content).run(None, {"x": x})
    error = np.abs(y / x.astype("float64").sum(axes) - 1).max() / 2**-23
    # 4 units of rounding were measured, and 100 if it is not split.
    assert (error < 16) == is_split
