import numpy as np
import pytest

from keras_inception_export.formats.onnx.passes.reductions import (
    permute_reductions,
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
