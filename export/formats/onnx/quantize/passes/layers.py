"""Rewrite the layers of a float graph so that int8 suits them better."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import (
    Constant,
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
            name = f"{node.input[1]}/transposed"
            graph.constants[name] = replace(
                kernel,
                shape=kernel.shape[::-1],
                load=partial(_transposed, kernel),
            )
            fused.add(add.name)
            inputs = [node.input[0], name, bias]
            node.CopyFrom(
                onnx.helper.make_node(
                    "Gemm", inputs, add.output, node.name, transB=1
                )
            )
    graph.nodes = [node for node in graph.nodes if node.name not in fused]


def _transposed(kernel: Constant) -> np.ndarray:
    return kernel.load().T


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
        key = node.input[0], missing
        if key not in padded:
            padded[key] = name = f"{node.name}/Pad"
            widths = np.zeros((2, len(kernel.shape)), np.int64)
            widths[1, 1] = missing
            graph.constants[f"{name}/pads"] = Constant.of(widths.flatten)
            graph.nodes.append(
                onnx.helper.make_node(
                    "Pad", [key[0], f"{name}/pads"], [name], name
                )
            )
        node.input[0] = padded[key]
        graph.constants[node.input[1]] = _with_channels(kernel, missing)


def _with_channels(kernel: Constant, missing: int) -> Constant:
    """Return a kernel with additional input channels, of zeros."""
    filters, channels, *others = kernel.shape
    widths = [(0, 0), (0, missing), *([(0, 0)] * len(others))]
    return replace(
        kernel,
        shape=(filters, channels + missing, *others),
        load=lambda: np.pad(kernel.load(), widths),
    )
