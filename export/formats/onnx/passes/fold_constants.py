"""Replace nodes that read only constants by their values."""

import onnx

from keras_inception_export.formats.onnx.graph import (
    SMALL,
    Constant,
    Graph,
    bodies,
    evaluate,
)

NOT_FOLDED = ("Bernoulli", "GRU", "LSTM", "Multinomial", "RNN", "Random")
"""Prefixes of the operators that stay: random and recurrent ones."""


def fold_constants(graph: Graph) -> None:
    """Replace each node that reads only constants by the constants it computes.

    A node stays where its result has more elements than all its inputs,
    unless the result is small.
    """
    outputs = {value.name for value in graph.outputs}
    graph.nodes = [
        node
        for node in graph.nodes
        if not outputs.isdisjoint(node.output)
        or node.op_type.startswith(NOT_FOLDED)
        or bodies(node)
        or not _fold(graph, node)
    ]


def _fold(graph: Graph, node: onnx.NodeProto) -> bool:
    """Add a node's results to the constants; return whether this was done."""
    names = [name for name in node.input if name]
    if not names or any(name not in graph.constants for name in names):
        return False
    inputs = [graph.constants[name] for name in names]
    weight = next((item.weight for item in inputs if item.weight), None)

    def result(index: int) -> Constant:
        return Constant.of(
            lambda: evaluate(node, graph.opset, inputs)[index], weight
        )

    results = {x: result(i) for i, x in enumerate(node.output) if x}
    limit = max(SMALL, sum(constant.size for constant in inputs))
    if any(result.size > limit for result in results.values()):
        return False
    graph.constants.update(results)
    return True
