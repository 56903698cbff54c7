import numpy as np
import pytest

from keras_inception_export.formats.onnx.passes.channel_arithmetic import (
    fold_channel_arithmetic,
)
from tests.helpers.onnx_graphs import apply_pass, onnx_graph, random_array

IMAGE = random_array(2, 3, 6, 6)
CONSTANTS = {
    "yes": np.array(True),
    "kernel": random_array(4, 3, 3, 3, seed=1),
    "turned": random_array(3, 4, 3, 3, seed=2),
    "bias": random_array(4, seed=3),
    "scale": random_array(1, 4, 1, 1, seed=4),
    "shift": random_array(4, 1, 1, seed=5),
    "one": random_array(1, seed=6),
    "by_column": random_array(4, seed=7),
    "by_pixel": random_array(1, 4, 4, 4, seed=8),
    "by_image": random_array(2, 1, 1, 1, seed=9),
    "volume": random_array(1, 4, 1, 1, 1, seed=10),
    "single": random_array(1, 3, 3, 3, seed=14),
    "deep": random_array(12, 1, 3, 3, seed=13),
    "grouped": random_array(3, 4, 3, 3, seed=11),
    "by_group": random_array(1, 12, 1, 1, seed=12),
}
# Weights are rounded once more: the largest error measured was 2e-7.
RTOL = 2e-6


def convolution(nodes, outputs="float[N,C,H,W] y", weights=None):
    return onnx_graph(
        f"(float[N,3,6,6] x) => ({outputs}) {{ {nodes} }}",
        weights=weights,
        **CONSTANTS,
    )


FOLDED = {
    "scale": "c = Conv(x, kernel) y = Mul(c, scale)",
    "scale first": "c = Conv(x, kernel) y = Mul(scale, c)",
    "shift": "c = Conv(x, kernel) y = Add(c, shift)",
    "one value": "c = Conv(x, kernel) y = Mul(c, one)",
    "bias": "c = Conv(x, kernel, bias) y = Mul(c, scale)",
    "batch norm": "c = Conv(x, kernel, bias) m = Mul(c, scale) y = Add(m, one)",
    "shift, scale": "c = Conv(x, kernel) m = Add(c, shift) y = Mul(m, scale)",
    "groups": "c = Conv<group=3>(x, deep) y = Mul(c, by_group)",
    "transposed": "c = ConvTranspose(x, turned, bias) y = Mul(c, scale)",
}


@pytest.mark.parametrize("nodes", FOLDED.values(), ids=FOLDED)
def test_arithmetic_per_channel_becomes_part_of_the_weights(nodes):
    graph = convolution(nodes)
    (left,) = apply_pass(fold_channel_arithmetic, graph, rtol=RTOL, x=IMAGE)
    assert left in ("Conv", "ConvTranspose")


KEPT = {
    "by column": "c = Conv(x, kernel) y = Mul(c, by_column)",
    "by pixel": "c = Conv(x, kernel) y = Add(c, by_pixel)",
    "by image": "c = Conv(x, kernel) y = Mul(c, by_image)",
    "higher rank": "c = Conv(x, kernel) y = Add(c, volume)",
    "computed operand": "c = Conv(x, kernel) s = Neg(scale) y = Mul(c, s)",
    "another operator": "c = Conv(x, kernel) y = Sub(c, scale)",
    "its square": "c = Conv(x, kernel) y = Mul(c, c)",
    "read twice": "c = Conv(x, kernel) m = Mul(c, scale) y = Add(m, c)",
    "read in a body": """
        c = Conv(x, kernel) m = Mul(c, scale)
        y = If(yes) <
            then_branch = t () => (float[N,4,4,4] p) { p = Add(m, c) },
            else_branch = e () => (float[N,4,4,4] q) { q = Neg(m) }
        >""",
    "computed kernel": "k = Neg(kernel) c = Conv(x, k) y = Mul(c, scale)",
    "transposed groups": """
        c = ConvTranspose<group=3>(x, grouped) y = Add(c, one)""",
    "more channels": "c = Conv(x, single) y = Add(c, scale)",
}


@pytest.mark.parametrize("nodes", KEPT.values(), ids=KEPT)
def test_other_arithmetic_stays(nodes):
    graph = convolution(nodes)
    before = [node.SerializeToString() for node in graph.nodes]
    fold_channel_arithmetic(graph)
    assert [node.SerializeToString() for node in graph.nodes] == before


def test_a_value_that_is_also_an_output_stays():
    graph = convolution(
        "c = Conv(x, kernel) y = Mul(c, scale)",
        outputs="float[N,4,4,4] c, float[N,4,4,4] y",
    )
    assert apply_pass(fold_channel_arithmetic, graph, x=IMAGE) == [
        "Conv",
        "Mul",
    ]


def test_a_shared_kernel_is_shifted_but_not_scaled():
    graph = convolution(
        """c = Conv(x, kernel) d = Conv<pads=[1,1,1,1]>(x, kernel)
        e = Add(c, shift) p = Mul(d, scale) y = Mul(e, one)""",
        outputs="float[N,4,4,4] y, float[N,4,6,6] p",
    )
    left = apply_pass(fold_channel_arithmetic, graph, rtol=RTOL, x=IMAGE)
    assert sorted(left) == ["Conv", "Conv", "Mul", "Mul"]
    assert [node.input[1] for node in graph.nodes[:2]] == ["kernel", "kernel"]


PATHS = {
    "new bias": ("c = Conv(x, kernel)", {}, "conv/bias"),
    "bias": ("c = Conv(x, kernel, bias)", {"bias": "norm/beta"}, "norm/beta"),
    "no path": ("c = Conv(x, kernel, bias)", {}, "conv/bias"),
}


@pytest.mark.parametrize("node, paths, expected", PATHS.values(), ids=PATHS)
def test_new_weights_keep_the_paths_of_the_old(node, paths, expected):
    graph = convolution(
        f"{node} y = Mul(c, scale)", weights={"kernel": "conv/kernel", **paths}
    )
    fold_channel_arithmetic(graph)
    weights = [graph.constants[name] for name in graph.nodes[0].input[1:]]
    assert [x.weight for x in weights] == ["conv/kernel", expected]
    assert all(x.load().dtype == x.dtype == np.float32 for x in weights)
