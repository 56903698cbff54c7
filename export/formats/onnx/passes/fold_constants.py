"""Nodes that compute with constants alone, replaced by their values."""

from functools import partial

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import (
    SMALL,
    Constant,
    Graph,
    evaluate,
)

RANDOM_OPERATORS = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


RECURRENT_OPERATORS = frozenset({"GRU", "LSTM", "RNN"})


def fold_constants(graph: Graph) -> None:
    """Replace each node whose inputs are constants by its value.

    A result that is larger than everything it is computed from stays a node,
    unless it is small.
    """
    outputs = {value.name for value in graph.outputs}
    kept = []
    for node in graph.nodes:
        names = [name for name in node.input if name]
        foldable = (
            names
            and not outputs.intersection(node.output)
            and all(name in graph.constants for name in names)
            and node.op_type not in RANDOM_OPERATORS | RECURRENT_OPERATORS
            and not any(attribute.HasField("g") for attribute in node.attribute)
        )
        if not foldable or not _fold(graph, node, names):
            kept.append(node)
    graph.nodes = kept


def _fold(graph: Graph, node: onnx.NodeProto, names: list[str]) -> bool:
    inputs = [graph.constants[name] for name in names]
    weight = next((item.weight for item in inputs if item.weight), None)
    results = {
        name: Constant.of(
            partial(_output, node, graph.opset, inputs, index), weight
        )
        for index, name in enumerate(node.output)
        if name
    }
    limit = max(SMALL, sum(constant.size for constant in inputs))
    if any(result.size > limit for result in results.values()):
        return False
    graph.constants.update(results)
    return True


def _output(
    node: onnx.NodeProto, opset: int, inputs: list[Constant], index: int
) -> np.ndarray:
    return evaluate(node, opset, inputs)[index]
