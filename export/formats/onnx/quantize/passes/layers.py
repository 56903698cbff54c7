"""Rewrite the layers of a float graph so that int8 suits them better."""

from collections.abc import Collection
from functools import partial

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import (
    Graph,
    attribute_of,
    axis_lengths,
)
from keras_inception_export.formats.onnx.quantize.placement import (
    layer_name,
    layer_nodes,
)

CHANNELS = 4
FILTERS = 16
"""ONNX Runtime does not unroll an integer convolution first, which costs
several times as much, if its input channels are a multiple of `CHANNELS` and
it has at least `FILTERS` filters."""


def fuse_biases(graph: Graph, float_layers: Collection[str]) -> None:
    """Replace MatMul and Add by Gemm, except in layers that stay in float.

    A separate bias would be added to a sum that is already rounded. The kernel
    is transposed: the weights of one output share a scale, and are contiguous
    then.
    """
    types, uses = graph.inferred_types(), graph.uses()
    readers = {name: node for node in graph.nodes for name in node.input}
    fused = set()
    for node in layer_nodes(graph):
        add = readers.get(node.output[0])
        if (
            node.op_type != "MatMul"
            or layer_name(node) in float_layers
            or len(axis_lengths(types.get(node.input[0])) or ()) != 2
            or uses[node.output[0]] != 1
            or add is None
            or add.op_type != "Add"
        ):
            continue
        (bias,) = set(add.input) - {node.output[0]} or {""}
        kernel = graph.constants[node.input[1]]
        if bias in graph.constants and (
            graph.constants[bias].shape == kernel.shape[1:]
        ):
            transposed = graph.add_constant(
                kernel.derived(np.transpose, shape=kernel.shape[::-1]),
                f"{node.input[1]}/transposed",
            )
            fused.add(add.name)
            inputs = [node.input[0], transposed, bias]
            node.CopyFrom(
                onnx.helper.make_node(
                    "Gemm", inputs, add.output, node.name, transB=1
                )
            )
    graph.nodes = [node for node in graph.nodes if node.name not in fused]


def pad_input_channels(graph: Graph, float_layers: Collection[str]) -> None:
    """Give the first convolutions a multiple of four input channels.

    The added channels are zeros, and so are their weights.
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
        widths = np.zeros((len(kernel.shape), 2), np.int64)
        widths[1, 1] = missing
        key = node.input[0], missing
        if key not in padded:
            name = f"{node.name}/Pad"
            pads = graph.add_constant(widths.T.flatten(), f"{name}/pads")
            padded[key] = graph.add_node("Pad", [key[0], pads], name, name)
        node.input[0] = padded[key]
        graph.constants[node.input[1]] = kernel.derived(
            partial(np.pad, pad_width=widths),
            shape=tuple((widths.sum(axis=1) + kernel.shape).tolist()),
        )
