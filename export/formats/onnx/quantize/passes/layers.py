"""Rewrite the layers of a float graph so that int8 suits them better."""

from collections.abc import Collection

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import Graph, axis_lengths
from keras_inception_export.formats.onnx.quantize.placement import (
    layer_name,
    layer_nodes,
)


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
