"""Build ONNX graphs by hand, run them, and check what a pass does to them."""

import numpy as np
import onnx.parser
from onnx.reference import ReferenceEvaluator

from keras_inception_export.formats.onnx.graph import Constant, Graph


def onnx_graph(text, *, opset=18, weights=None, **constants):
    """Return a `Graph` written in ONNX's textual syntax.

    Each node is named after its first output.

    Args:
        text: the graph without its name, such as
            `(float[N,3] x) => (float[N,3] y) { y = Add(x, bias) }`.
        opset: the version of the ONNX operators.
        weights: the path of the Keras variable, by name of a constant.
        constants: arrays that the graph computes with, by name.
    """
    parsed = onnx.parser.parse_graph(f"main {text}")
    for node in parsed.node:
        node.name = node.output[0]
    return Graph(
        opset=opset,
        nodes=list(parsed.node),
        constants={
            name: Constant.of(
                lambda value=value: value, (weights or {}).get(name)
            )
            for name, value in constants.items()
        },
        inputs=list(parsed.input),
        outputs=list(parsed.output),
    )


def operators(graph):
    """Return the operator of each node, in order."""
    return [node.op_type for node in graph.nodes]


def run_graph(graph, **feeds):
    """Compute the outputs with the reference implementation of ONNX."""
    model = graph.model(held=graph.constants)
    onnx.checker.check_model(model)
    return ReferenceEvaluator(model).run(None, feeds)


def apply_pass(rewrite, graph, *, rtol=0.0, **feeds):
    """Apply a pass; fail if an output changes by more than `rtol`.

    Args:
        rewrite: the pass, a function of the graph.
        graph: the graph to change.
        rtol: the change that is allowed, relative to an output's largest
            value.
        feeds: arrays by input name.

    Returns:
        The operators that are left, in order.
    """
    before = run_graph(graph, **feeds)
    names = [value.name for value in graph.outputs]
    rewrite(graph)
    assert [value.name for value in graph.outputs] == names
    for old, new in zip(before, run_graph(graph, **feeds), strict=True):
        assert new.shape == old.shape
        atol = rtol * np.max(np.abs(old))
        np.testing.assert_allclose(new, old, rtol=0, atol=atol)
    return operators(graph)


def random_array(*shape, seed=0):
    """Return normally distributed float32 numbers."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(shape, dtype=np.float32)
