"""Arithmetic that follows a convolution, folded into its weights."""

from dataclasses import dataclass, field

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import Constant, Graph


def fold_channel_arithmetic(graph: Graph) -> None:
    """Fold Mul and Add by one constant a channel into the convolution.

    The arithmetic is in float64 and rounded once. A kernel that several
    convolutions share is not scaled.
    """
    uses = graph.uses()
    consumers = {name: node for node in graph.nodes for name in node.input}
    folded = set()
    for node in graph.nodes:
        convolution = _convolution(graph, node)
        if convolution is None:
            continue
        output = node.output[0]
        while uses[output] == 1 and output in consumers:
            follower = consumers[output]
            shared = uses[node.input[1]] > 1
            if shared and follower.op_type == "Mul":
                break
            if not convolution.absorb(follower, output):
                break
            output = follower.output[0]
            folded.add(follower.name)
        if output != node.output[0]:
            convolution.rewrite()
            node.output[0] = output
    graph.nodes = [node for node in graph.nodes if node.name not in folded]


@dataclass
class _Convolution:
    """A convolution with constant weights, and what follows it.

    Args:
        graph: the graph it stands in.
        node: the convolution.
        axis: the axis of the kernel that counts output channels.
        scale: what the output is multiplied by, a value a channel.
        shift: what is added after that.
    """

    graph: Graph
    node: onnx.NodeProto
    axis: int
    scale: np.ndarray = field(init=False)
    shift: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        channels = self.kernel.shape[self.axis]
        self.scale, self.shift = np.ones(channels), np.zeros(channels)

    @property
    def kernel(self) -> Constant:
        """The kernel before anything is folded into it."""
        return self.graph.constants[self.node.input[1]]

    @property
    def bias(self) -> Constant | None:
        """The bias before anything is folded into it."""
        has_bias = len(self.node.input) > 2
        return self.graph.constants[self.node.input[2]] if has_bias else None

    def absorb(self, follower: onnx.NodeProto, output: str) -> bool:
        """Fold a node that reads `output`; False where it does not fit."""
        if follower.op_type not in ("Add", "Mul"):
            return False
        others = [name for name in follower.input if name != output]
        operand = self._per_channel(others[0]) if len(others) == 1 else None
        if operand is None:
            return False
        if follower.op_type == "Mul":
            self.scale, self.shift = self.scale * operand, self.shift * operand
        else:
            self.shift = self.shift + operand
        return True

    def _per_channel(self, name: str) -> np.ndarray | None:
        constant = self.graph.constants.get(name)
        rank, channels = len(self.kernel.shape), len(self.scale)
        if constant is None or len(constant.shape) > rank:
            return None
        shape = (1,) * (rank - len(constant.shape)) + constant.shape
        if constant.size != shape[1] or shape[1] not in (1, channels):
            return None
        return constant.load().astype(np.float64).reshape(-1)

    def rewrite(self) -> None:
        """Give the node the folded kernel and bias."""
        kernel, bias = self.kernel, self.bias
        scale, shift, axis = self.scale, self.shift, self.axis
        layer = (kernel.weight or "").rpartition("/")[0]
        path = f"{layer}/bias" if layer else None
        if bias is not None:
            shift, path = shift + scale * bias.load(), bias.weight or path
        rounded = shift.astype(kernel.dtype)
        inputs = list(self.node.input[:2])
        inputs.append(
            self.graph.add_constant(Constant.of(lambda: rounded, path))
        )
        if np.any(scale != 1):
            broadcast = [1] * len(kernel.shape)
            broadcast[axis] = -1
            factor = scale.reshape(broadcast)
            scaled = Constant(
                kernel.shape,
                kernel.dtype,
                lambda: (kernel.load() * factor).astype(kernel.dtype),
                kernel.weight,
            )
            inputs[1] = self.graph.add_constant(scaled)
        self.node.input[:] = inputs


def _convolution(graph: Graph, node: onnx.NodeProto) -> _Convolution | None:
    groups = [
        attribute.i for attribute in node.attribute if attribute.name == "group"
    ]
    if node.op_type == "Conv":
        axis = 0
    elif node.op_type == "ConvTranspose" and groups in ([], [1]):
        axis = 1
    else:
        return None
    if not all(name in graph.constants for name in node.input[1:]):
        return None
    return _Convolution(graph, node, axis)
