"""Which nodes of a graph compute on integers in int8.

Layers are the nodes with weights: convolutions and matrix products. The nodes
between them compute on integers where that avoids a conversion.
"""

from collections.abc import Collection

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.quantizer import nearest

INTEGER, FLOAT = "integer", "float"  # how a layer computes

PRODUCTS = frozenset({"Gemm", "MatMul"})
LAYERS = frozenset({"Conv"}) | PRODUCTS
"""The operators with weights that have int8 kernels in ONNX Runtime."""

ACTIVATIONS = frozenset({"Clip", "Relu"})
"""Operators that int8 removes: the scale of their output clips its values."""

SELECTIONS = frozenset(
    "Concat Flatten MaxPool Pad ReduceMax ReduceMin Reshape Slice Squeeze "
    "Transpose Unsqueeze".split()
)
"""Operators that return some of the values they read. Nothing is lost when they
compute on integers, provided that what they read and return has one scale."""

ARITHMETIC = frozenset(
    {"Add", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid"}
)
"""Operators with int8 kernels that compute new values."""


def layer_nodes(graph: Graph) -> list[onnx.NodeProto]:
    """Return the nodes that compute a layer with a constant float kernel."""
    constants = graph.constants
    return [
        node
        for node in graph.nodes
        if node.op_type in LAYERS
        and node.input[1] in constants
        and constants[node.input[1]].dtype == np.float32
        and (node.op_type == "Conv" or len(constants[node.input[1]].shape) == 2)
    ]


def layer_name(node: onnx.NodeProto) -> str:
    """Return the Keras path of the layer that a node computes."""
    return node.name.rpartition("/")[0]


def reading_layers(graph: Graph, values: Collection[str]) -> set[str]:
    """Return the layers that read values, perhaps through other nodes."""
    layers = {node.name: layer_name(node) for node in layer_nodes(graph)}
    reached, found = set(values), set()
    for node in graph.nodes:
        if reached.isdisjoint(node.input):
            continue
        if node.name in layers:
            found.add(layers[node.name])
        else:
            reached.update(node.output)
    return found


def integer_nodes(
    graph: Graph,
    float_layers: Collection[str],
    float_nodes: Collection[str] = (),
) -> set[str]:
    """Return the names of the nodes that compute on integers.

    These are the layers other than `float_layers`, arithmetic between such
    layers, and selections where that avoids a conversion, except for nodes
    with the names `float_nodes`.
    """
    layers = dict.fromkeys(float_nodes, FLOAT) | {
        node.name: FLOAT if layer_name(node) in float_layers else INTEGER
        for node in layer_nodes(graph)
    }
    # What cannot be between two integer layers counts as a layer in float.
    kinds = layers | {
        node.name: FLOAT
        for node in graph.nodes
        if node.name not in layers
        and node.op_type not in ACTIVATIONS
        and not _is_carrier(graph, node)
    }
    forward = [
        (node.name, _variables(graph, node), list(node.output))
        for node in graph.nodes
        if node.op_type != "Shape"
    ]
    before = nearest(forward, kinds)
    after = nearest(((x, far, near) for x, near, far in forward[::-1]), kinds)
    chosen = {name for name, kind in layers.items() if kind == INTEGER}
    producers, types = graph.producers(), graph.inferred_types()
    for node in graph.nodes:
        kind = types.get(node.output[0])
        if (
            node.name in kinds
            or kind is None
            or kind.elem_type != onnx.TensorProto.FLOAT
        ):
            continue
        inputs = _variables(graph, node)
        above = set().union(*(before[name] for name in inputs))
        below = set().union(*(after[name] for name in node.output))
        sources = [producers.get(name) for name in inputs]
        if node.op_type in ACTIVATIONS:
            integer = sources[0] is not None and sources[0].name in chosen
        elif not above:
            integer = below == {INTEGER}
        elif INTEGER in below:
            integer = INTEGER in above
        else:
            # The result is read in float, and a product returns float.
            integer = node.op_type in SELECTIONS and all(
                source is not None
                and source.name in chosen
                and source.op_type not in PRODUCTS
                for source in sources
            )
        if integer:
            chosen.add(node.name)
    return chosen


def _is_carrier(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether a node can be between two integer layers."""
    if node.op_type == "Pad":
        return len(node.input) == 2
    if node.op_type in ("Add", "Mul"):
        return not any(name in graph.constants for name in node.input)
    return node.op_type in SELECTIONS | ARITHMETIC


def _variables(graph: Graph, node: onnx.NodeProto) -> list[str]:
    return [name for name in node.input if name and name not in graph.constants]


def limits(graph: Graph, node: onnx.NodeProto) -> tuple[float, float]:
    """Return the smallest and largest value that an activation returns."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    low, high = map(graph.value, (*node.input[1:], "", "")[:2])
    return (
        -np.inf if low is None else low.item(),
        np.inf if high is None else high.item(),
    )
