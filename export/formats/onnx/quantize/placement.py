"""What a graph needs before int8, and which of its nodes compute on integers.

Layers are what has weights: convolutions and matrix products. The nodes
between them follow: they compute on integers where that spares a conversion.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import (
    Constant,
    Graph,
    attribute_of,
    axis_lengths,
)
from keras_inception_export.formats.onnx.passes.sorting import sort_depth_first

PRODUCTS = frozenset({"Gemm", "MatMul"})
LAYERS = frozenset({"Conv"}) | PRODUCTS
"""The operators with weights that have int8 kernels in ONNX Runtime."""

ACTIVATIONS = frozenset({"Clip", "Relu"})
"""Operators that vanish: the scale of what they return cuts off the rest."""

SELECTIONS = frozenset(
    {
        "Concat",
        "Flatten",
        "MaxPool",
        "Pad",
        "ReduceMax",
        "ReduceMin",
        "Reshape",
        "Slice",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators that return values they were given, so nothing is lost when they
work on integers, if all they read and return has one scale."""

ARITHMETIC = frozenset(
    {"Add", "AveragePool", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid"}
)
"""Operators with int8 kernels that compute new values."""

CHANNELS = 4
FILTERS = 16
"""A convolution is not unrolled first, which costs several times as much, if
its input channels are a multiple of the one, and its filters no fewer than
the other."""


def layer_nodes(graph: Graph) -> list[onnx.NodeProto]:
    """Return the nodes that compute a layer with a constant float kernel."""
    found = []
    for node in graph.nodes:
        if node.op_type in LAYERS:
            kernel = graph.constants.get(node.input[1])
            if (
                kernel is not None
                and kernel.dtype == np.float32
                and (node.op_type == "Conv" or len(kernel.shape) == 2)
            ):
                found.append(node)
    return found


def layer_name(node: onnx.NodeProto) -> str:
    """Return the Keras path of the layer that a node computes."""
    return node.name.rpartition("/")[0]


def prepare(graph: Graph, float_layers: Collection[str]) -> None:
    """Rewrite a graph so that int8 suits it better; its outputs stay."""
    _add_biases(graph, float_layers)
    _widen_inputs(graph, float_layers)
    for node in graph.nodes:
        if node.op_type == "Pad" and _pads_zeros(graph, node):
            del node.input[2:]
    sort_depth_first(graph)
    graph.prune()


def _add_biases(graph: Graph, float_layers: Collection[str]) -> None:
    """Make one Gemm of a product of matrices and the bias added to it.

    A bias apart would be added to a rounded sum. The kernel is transposed, so
    that the weights of one output, which get one scale, lie together.
    """
    types, uses = graph.inferred_types(), graph.uses()
    readers = {name: node for node in graph.nodes for name in node.input}
    added = set()
    for node in layer_nodes(graph):
        follower = readers.get(node.output[0])
        if (
            node.op_type != "MatMul"
            or layer_name(node) in float_layers
            or len(axis_lengths(types.get(node.input[0])) or ()) != 2
            or uses[node.output[0]] != 1
            or follower is None
            or follower.op_type != "Add"
        ):
            continue
        (bias,) = set(follower.input) - {node.output[0]} or {""}
        kernel = graph.constants[node.input[1]]
        if bias in graph.constants and (
            graph.constants[bias].shape == kernel.shape[1:]
        ):
            transposed = f"{node.input[1]}/transposed"
            graph.constants[transposed] = replace(
                kernel,
                shape=kernel.shape[::-1],
                load=partial(_transpose, kernel),
            )
            added.add(follower.name)
            gemm = onnx.helper.make_node(
                "Gemm",
                [node.input[0], transposed, bias],
                follower.output,
                node.name,
                transB=1,
            )
            node.CopyFrom(gemm)
    graph.nodes = [node for node in graph.nodes if node.name not in added]


def _transpose(kernel: Constant) -> np.ndarray:
    return kernel.load().T


def _widen_inputs(graph: Graph, float_layers: Collection[str]) -> None:
    """Give the first convolutions, of images, a multiple of four channels.

    The channels that are added are zeros, and so are their weights.
    """
    producers, uses = graph.producers(), graph.uses()
    inputs = {value.name for value in graph.inputs}
    padded: dict[tuple[str, int], str] = {}
    for node in layer_nodes(graph):
        source = node.input[0]
        while source in producers and producers[source].op_type in (
            "Reshape",
            "Transpose",
        ):
            source = producers[source].input[0]
        kernel = graph.constants[node.input[1]]
        missing = -kernel.shape[1] % CHANNELS
        if (
            node.op_type != "Conv"
            or layer_name(node) in float_layers
            or source not in inputs
            or not missing
            or uses[node.input[1]] > 1
            or attribute_of(node, "group", 1) != 1
            or kernel.shape[0] < FILTERS
            or kernel.shape[0] % CHANNELS
        ):
            continue
        key = node.input[0], missing
        if key not in padded:
            padded[key] = f"{node.name}/Pad"
            ends = np.zeros((2, len(kernel.shape)), np.int64)
            ends[1, 1] = missing
            pads = f"{node.name}/Pad/pads"
            graph.constants[pads] = Constant.of(ends.flatten)
            graph.nodes.append(
                onnx.helper.make_node(
                    "Pad", [key[0], pads], [padded[key]], padded[key]
                )
            )
        node.input[0] = padded[key]
        graph.constants[node.input[1]] = _with_channels(kernel, missing)


def _with_channels(kernel: Constant, missing: int) -> Constant:
    """Return a kernel with so many more input channels, of zeros."""
    filters, channels, *others = kernel.shape
    zeros = [(0, 0), (0, missing), *([(0, 0)] * len(others))]
    return replace(
        kernel,
        shape=(filters, channels + missing, *others),
        load=lambda: np.pad(kernel.load(), zeros),
    )


def _pads_zeros(graph: Graph, node: onnx.NodeProto) -> bool:
    if attribute_of(node, "mode", b"constant") != b"constant":
        return False
    value = graph.value(node.input[2]) if len(node.input) == 3 else None
    return len(node.input) == 2 or (value is not None and not value.any())


@dataclass(frozen=True)
class _Nearest:
    """How the layers next to a value compute: some on integers, or float."""

    integer: bool = False
    floating: bool = False

    def __or__(self, other: "_Nearest") -> "_Nearest":
        return _Nearest(
            self.integer or other.integer, self.floating or other.floating
        )


def integer_nodes(graph: Graph, float_layers: Collection[str]) -> set[str]:
    """Return the names of the nodes that compute on integers.

    Every layer but those in `float_layers`; a selection where it spares a
    conversion; arithmetic between layers that do.

    Args:
        graph: a prepared graph, in topological order.
        float_layers: the layers that do not.
    """
    layers = {
        node.name: _Nearest(
            integer := layer_name(node) not in float_layers, not integer
        )
        for node in layer_nodes(graph)
    }
    before = _nearest(graph, layers, backward=False)
    after = _nearest(graph, layers, backward=True)
    chosen = {name for name, nearest in layers.items() if nearest.integer}
    producers, types = graph.producers(), graph.inferred_types()
    for node in graph.nodes:
        kind = types.get(node.output[0])
        if (
            node.name in layers
            or kind is None
            or kind.elem_type != onnx.TensorProto.FLOAT
        ):
            continue
        inputs = _variables(graph, node)
        above = _any(before[name] for name in inputs)
        below = _any(after[name] for name in node.output)
        sources = [producers.get(name) for name in inputs]
        if node.op_type in ACTIVATIONS:
            integer = sources[0] is not None and sources[0].name in chosen
        elif not _is_carrier(graph, node):
            integer = False
        elif above == _Nearest():
            integer = below == _Nearest(integer=True)
        elif below.integer:
            integer = above.integer
        else:
            # What reads the result reads float. A product returns float.
            integer = node.op_type in SELECTIONS and all(
                source is not None
                and source.name in chosen
                and source.op_type not in PRODUCTS
                for source in sources
            )
        if integer:
            chosen.add(node.name)
    return chosen


def _nearest(
    graph: Graph, layers: dict[str, _Nearest], *, backward: bool
) -> dict[str, _Nearest]:
    """Return, by value, the layers that it comes from or goes to.

    A node that is neither a layer nor may stand between two counts as a
    layer in float. Inputs and outputs of the graph do not count.
    """
    found = dict.fromkeys(graph.constants, _Nearest())
    found.update((value.name, _Nearest()) for value in graph.inputs)
    for node in graph.nodes:
        found.update(dict.fromkeys(node.output, _Nearest()))
    for node in reversed(graph.nodes) if backward else graph.nodes:
        reads, writes = _variables(graph, node), list(node.output)
        sources, targets = (writes, reads) if backward else (reads, writes)
        if node.op_type == "Shape":
            continue
        if node.name in layers:
            nearest = layers[node.name]
        elif _is_carrier(graph, node) or node.op_type in ACTIVATIONS:
            nearest = _any(found[name] for name in sources)
        else:
            nearest = _Nearest(floating=True)
        for name in targets:
            found[name] = found[name] | nearest
    return found


def _is_carrier(graph: Graph, node: onnx.NodeProto) -> bool:
    """Tell whether a node may stand between two layers on integers."""
    if node.op_type == "Pad":
        return len(node.input) == 2
    if node.op_type in ("Add", "Mul"):
        return not any(name in graph.constants for name in node.input)
    return node.op_type in SELECTIONS | ARITHMETIC


def _variables(graph: Graph, node: onnx.NodeProto) -> list[str]:
    return [name for name in node.input if name and name not in graph.constants]


def _any(several: Iterable[_Nearest]) -> _Nearest:
    nearest = _Nearest()
    for one in several:
        nearest |= one
    return nearest
