"""Find the kernels that read the output channels of each kernel.

They are found in the ONNX graph of the inference model, where the layers
inside blocks are visible and each kernel has the path of its Keras variable.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import Graph, attribute_of
from keras_inception_export.formats.onnx.quantize.placement import limits

_KERNELS = {"Conv", "Gemm", "MatMul"}
# A positive factor of a channel passes through these unchanged.
_POOLING = {"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"}
_HOMOGENEOUS = {"Relu", "LeakyRelu", *_POOLING}
# And through these, if they move no channel: where all axes but batch and
# channels have one element, or are reduced.
_RESHAPES = {"Reshape", "Squeeze", "Flatten"}
_REDUCTIONS = {"ReduceMax", "ReduceMean"}


@dataclass(frozen=True)
class Flow:
    """The output channels of a kernel, and the kernels that read them.

    Args:
        kernel: the path of the variable.
        bias: the path of the bias; `None` if there is none.
        value: the name in the graph of the value that is quantized: after
            the bias and the activation.
        readers: for each kernel that reads the channels, along its second to
            last axis, the path and the index of the first channel there.
        axis: the axis of the kernel that is the channels: the last one, or
            that before it in a depthwise kernel.
        bound: the largest magnitude that the activation lets pass.
    """

    kernel: str
    bias: str | None
    value: str
    readers: tuple[tuple[str, int], ...]
    axis: int = -1
    bound: float = np.inf


class _Blocked(Exception):
    """A factor cannot be moved, since not only kernels read the channels."""


def channel_flows(
    graph: Graph, variables: Mapping[str, keras.Variable]
) -> list[Flow]:
    """Return the flow of each kernel whose channels only kernels read."""
    return list(_FlowFinder(graph, variables).flows())


class _FlowFinder:
    """Follows the values of a graph from kernel to kernel."""

    def __init__(
        self, graph: Graph, variables: Mapping[str, keras.Variable]
    ) -> None:
        self._graph = graph
        self._variables = variables
        self._outputs = {output.name for output in graph.outputs}
        self._shapes = {
            name: [axis.dim_value for axis in kind.shape.dim]
            for name, kind in graph.inferred_types().items()
        }
        self._readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.nodes:
            for name in set(node.input):
                self._readers[name].append(node)

    def flows(self) -> Iterator[Flow]:
        """Yield the flows, in the order of the graph."""
        for node in self._graph.nodes:
            kernel = self._kernel(node)
            if not kernel:
                continue
            axis = -1 if attribute_of(node, "group", 1) == 1 else -2
            if axis == -2 and not self._is_depthwise(node, kernel):
                continue
            try:
                bias, value = self._add_bias(node)
                reader, bound = self._only_reader(value), np.inf
                if reader is not None and reader.op_type in ("Relu", "Clip"):
                    value = reader.output[0]
                    # Up to its limits, an activation is homogeneous.
                    ends = map(abs, limits(self._graph, reader))
                    bound = min(filter(None, ends), default=np.inf)
                readers = tuple(self._follow(value, 0))
            except _Blocked:
                continue
            if readers and bound > 0:
                yield Flow(kernel, bias, value, readers, axis, bound)

    def _is_depthwise(self, node: onnx.NodeProto, kernel: str) -> bool:
        """Return whether a kernel has one filter for each of its channels."""
        *_, channels, multiplier = self._variables[kernel].shape
        groups = attribute_of(node, "group", 1)
        return groups == channels and multiplier == 1

    def _follow(self, value: str, first: int) -> Iterator[tuple[str, int]]:
        """Yield each kernel that reads a value, and its first channel there."""
        if value in self._outputs:
            raise _Blocked
        for node in self._readers[value]:
            if list(node.input).count(value) > 1:
                raise _Blocked
            kernel = self._kernel(node)
            if kernel:
                self._check_reads_all(node, kernel, value)
                yield kernel, first
            elif node.op_type == "Concat":
                start = first + self._offset(node, value)
                yield from self._follow(node.output[0], start)
            elif self._keeps_channels(node, value):
                yield from self._follow(node.output[0], first)
            else:
                raise _Blocked

    def _check_reads_all(
        self, node: onnx.NodeProto, kernel: str, value: str
    ) -> None:
        """Raise unless the kernel is multiplied by all channels of a value."""
        shape, group = self._shapes[value], attribute_of(node, "group", 1)
        flat = node.op_type == "Conv" or len(shape) == 2
        # Of grouped convolutions, only a depthwise kernel has all channels.
        depth = self._variables[kernel].shape[-2]
        has_all = group == 1 or group == depth == shape[1]
        if node.input[0] != value or not flat or not has_all:
            raise _Blocked

    def _offset(self, node: onnx.NodeProto, value: str) -> int:
        """Return the index of a value's first channel in a concatenation."""
        index = list(node.input).index(value)
        sizes = [self._shapes[name][1] for name in node.input[:index]]
        axis = attribute_of(node, "axis", 0) % len(self._shapes[value])
        if axis != 1 or 0 in sizes:
            raise _Blocked
        return sum(sizes)

    def _keeps_channels(self, node: onnx.NodeProto, value: str) -> bool:
        """Return whether a node keeps each channel's index and its factor."""
        if node.op_type in _HOMOGENEOUS:
            return True
        shape, after = self._shapes[value], self._shapes[node.output[0]]
        if node.op_type == "Pad":  # with zeros
            return len(node.input) == 2 and after[1] == shape[1]
        if len(shape) < 2 or len(after) < 2 or after[1] != shape[1]:
            return False
        if node.op_type in _RESHAPES:
            return all(size == 1 for size in [*shape[2:], *after[2:]])
        if node.op_type in _REDUCTIONS:
            axes = self._graph.value(node.input[1])
            return axes is not None and not set(axes % len(shape)) & {0, 1}
        return False

    def _kernel(self, node: onnx.NodeProto) -> str | None:
        """Return the path of the kernel of a node, if it has one."""
        has_kernel = node.op_type in _KERNELS
        return self._path(node.input[1], "kernel") if has_kernel else None

    def _path(self, value: str, name: str) -> str | None:
        """Return the path of a variable of that name with one reader."""
        constant = self._graph.constants.get(value)
        if len(self._readers[value]) > 1:
            return None  # a factor would affect the other readers, too
        path = (constant and constant.weight) or ""
        is_named = path in self._variables and path.split("/")[-1] == name
        return path if is_named else None

    def _add_bias(self, node: onnx.NodeProto) -> tuple[str | None, str]:
        """Return the path of the bias, if there is one, and the sum.

        Only a variable can be scaled. A bias that arithmetic was folded into
        differs from its variable.
        """
        value = node.output[0]
        reader = self._only_reader(value)
        if len(node.input) > 2:
            name = node.input[2]
        elif reader is not None and reader.op_type == "Add":
            name = next((x for x in reader.input if x != value), value)
            value = reader.output[0]
        else:
            return None, value
        if name not in self._graph.constants:
            raise _Blocked
        path, constant = self._path(name, "bias"), self._graph.constants[name]
        expected = np.zeros(constant.shape)
        if path:
            expected = keras.ops.convert_to_numpy(self._variables[path])
        if not np.array_equal(constant.load().ravel(), expected.ravel()):
            raise _Blocked
        return path, value

    def _only_reader(self, value: str) -> onnx.NodeProto | None:
        readers = self._readers[value]
        is_only = len(readers) == 1 and value not in self._outputs
        return readers[0] if is_only else None
