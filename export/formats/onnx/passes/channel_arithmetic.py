"""Fold the arithmetic after a convolution into its weights."""

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import (
    Constant,
    Graph,
    attribute_of,
)


def fold_channel_arithmetic(graph: Graph) -> None:
    """Fold Mul and Add with one constant per channel into the convolution.

    The new weights are computed in float64 and rounded once. A kernel that
    several convolutions share is not scaled.
    """
    uses = graph.uses()
    consumers = {name: node for node in graph.nodes for name in node.input}
    folded = set()
    for node in graph.nodes:
        axis = _channel_axis(graph, node)
        if axis is None:
            continue
        output, shape = node.output[0], graph.constants[node.input[1]].shape
        channels = shape[axis]
        scale, shift = np.ones(channels), np.zeros(channels)
        while uses[output] == 1 and output in consumers:
            follower = consumers[output]
            other = next((x for x in follower.input if x != output), "")
            constant = graph.constants.get(other)
            operand = _per_channel(constant, len(shape), channels)
            if operand is None:
                break
            if follower.op_type == "Add":
                shift = shift + operand
            elif follower.op_type == "Mul" and uses[node.input[1]] == 1:
                scale, shift = scale * operand, shift * operand
            else:
                break
            output = follower.output[0]
            folded.add(follower.name)
        if output != node.output[0]:
            _rewrite(graph, node, axis, scale, shift)
            node.output[0] = output
    graph.nodes = [node for node in graph.nodes if node.name not in folded]


def _channel_axis(graph: Graph, node: onnx.NodeProto) -> int | None:
    """Return the kernel's axis of output channels, for constant weights."""
    if any(name not in graph.constants for name in node.input[1:]):
        return None
    if node.op_type == "ConvTranspose" and attribute_of(node, "group", 1) == 1:
        return 1
    return 0 if node.op_type == "Conv" else None


def _per_channel(
    constant: Constant | None, rank: int, channels: int
) -> np.ndarray | None:
    """Return a constant with one value, or one per channel, else `None`."""
    if constant is None or len(constant.shape) > rank:
        return None
    shape = (1,) * (rank - len(constant.shape)) + constant.shape
    if constant.size != shape[1] or shape[1] not in (1, channels):
        return None
    return constant.load().astype(np.float64).reshape(-1)


def _rewrite(
    graph: Graph,
    node: onnx.NodeProto,
    axis: int,
    scale: np.ndarray,
    shift: np.ndarray,
) -> None:
    """Give a convolution a scaled kernel and a shifted bias."""
    kernel = graph.constants[node.input[1]]
    layer = (kernel.weight or "").rpartition("/")[0]
    path = f"{layer}/bias" if layer else None
    if len(node.input) > 2:
        bias = graph.constants[node.input[2]]
        shift, path = shift + scale * bias.load(), bias.weight or path
    shift = shift.astype(kernel.dtype)
    added = graph.add_constant(Constant.of(lambda: shift, path))
    node.input[1:] = [node.input[1], added]
    if np.any(scale != 1):
        others = [x for x in range(len(kernel.shape)) if x != axis]
        factor = np.expand_dims(scale, others)
        node.input[1] = graph.add_constant(
            kernel.derived(lambda x: (x * factor).astype(kernel.dtype))
        )
