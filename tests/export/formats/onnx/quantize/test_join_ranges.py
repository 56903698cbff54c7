"""Values that share one scale in int8."""

import numpy as np
import pytest

from keras_inception_export.formats.onnx.quantize.int8 import join_ranges
from tests.helpers.onnx_graphs import onnx_graph

RANGES = {"x": (-3.0, 3.0), "a": (0.0, 1.0), "b": (-1.0, 8.0), "c": (0.0, 8.0)}
PARTS = "a = Identity(x) b = Identity(x) c = Identity(x) "
CASES = {
    "inputs of Concat": ("y = Concat<axis=0>(a, b)", "y", "aby", (-1, 8)),
    "not on integers": ("y = Concat<axis=0>(a, b)", "", "", None),
    "selection": ("y = Transpose(a)", "y", "ay", (0, 8)),
    "average": ("y = AveragePool<kernel_shape=[1]>(a)", "y", "ay", (0, 8)),
    "arithmetic": ("y = Add(a, b)", "y", "", None),
    "operands": ("y = Pad(a, b)", "y", "ay", (0, 8)),
    "a chain": (
        "d = Transpose(a) y = Concat<axis=0>(d, b)",
        "dy",
        "adby",
        (-1, 8),
    ),
    "within limits": (
        "d = Relu(a) y = Concat<axis=0>(d, c)",
        "dy",
        "dcy",
        (0, 8),
    ),
    "below a Relu": ("d = Relu(a) y = Concat<axis=0>(d, b)", "dy", "", None),
    "float Relu": (
        "d = Relu(a) y = Concat<axis=0>(d, b)",
        "y",
        "dby",
        (-1, 8),
    ),
    "above a Clip": (
        "d = Clip(a, zero, six) y = Concat<axis=0>(d, c)",
        "dy",
        "",
        None,
    ),
    "Clip without a maximum": (
        "d = Clip(a, zero) y = Concat<axis=0>(d, c)",
        "dy",
        "dcy",
        (0, 8),
    ),
    "below a Clip": (
        "d = Clip(a, zero) y = Concat<axis=0>(d, b)",
        "dy",
        "",
        None,
    ),
    "Clip without a minimum": (
        'd = Clip(a, "", six) y = Concat<axis=0>(d, c)',
        "dy",
        "",
        None,
    ),
}


def joined(nodes, chosen):
    graph = onnx_graph(
        f"(float[N] x) => (float[M] y) {{ {PARTS} {nodes} }}",
        zero=np.float32(0),
        six=np.float32(6),
    )
    ranges = RANGES | {"d": (0.0, 1.0), "y": (0.0, 8.0)}
    after = join_ranges(graph, ranges, set(chosen))
    assert after.keys() == ranges.keys()
    return {name: x for name, x in after.items() if x != ranges[name]}, ranges


@pytest.mark.parametrize(
    ("nodes", "chosen", "group", "expected"), CASES.values(), ids=CASES
)
def test_values_share_a_range(nodes, chosen, group, expected):
    changed, ranges = joined(nodes, chosen)
    assert changed == {
        name: expected for name in group if ranges[name] != expected
    }


def test_an_added_pad_has_the_range_of_its_input():
    graph = onnx_graph("(float[N] x) => (float[M] y) { y = Pad(x, w) }")
    ranges = {"x": (-3.0, 3.0)}
    assert join_ranges(graph, ranges, {"y"}) == dict.fromkeys("xy", (-3, 3))
