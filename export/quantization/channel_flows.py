"""Where the channels of each kernel go: read off the ONNX graph of the inference model.

In it the layers within blocks lie open, and each kernel bears the path of its
Keras variable.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.quantization.graph_values import watch

_KERNELS = {"Conv", "Gemm", "MatMul"}
# A positive factor of a channel passes through these unchanged.
_THROUGH = {
    "Relu",
    "LeakyRelu",
    "MaxPool",
    "AveragePool",
    "GlobalMaxPool",
    "GlobalAveragePool",
}
# And through these, where all axes but batch and channels are of one pixel,
# or reduced.
_RESHAPES = {"Reshape", "Squeeze", "Flatten"}
_REDUCTIONS = {"ReduceMax", "ReduceMean"}
_MOST = 50  # samples that the largest values are taken from


@dataclass(frozen=True)
class Flow:
    """A kernel's output channels, and who reads them.

    Args:
        kernel: path of the variable; its last axis are the channels.
        bias: path of the bias; None if there is none.
        value: the name in the graph of the value that is quantized: behind
            the bias and the activation.
        readers: the path of each kernel that reads the channels, on its
            second last axis, and the place of the first channel there.
    """

    kernel: str
    bias: str | None
    value: str
    readers: tuple[tuple[str, int], ...]


class _Blocked(Exception):
    """A factor cannot be moved: something else reads the channels."""


def channel_flows(graph: Graph, variables: Mapping) -> list[Flow]:
    """Return the flow of each kernel whose channels only kernels read.

    Args:
        graph: the inference model's graph, with settled names.
        variables: the inference model's variables by path.
    """
    return list(_Walk(graph, variables).flows())


def channel_peaks(
    graph: Graph,
    flows: Sequence[Flow],
    calibration: Mapping[str, np.ndarray],
    folder: Path,
) -> dict[str, np.ndarray]:
    """Return the largest value of each channel, by the value's name."""
    few = {name: array[:_MOST] for name, array in calibration.items()}
    peaks: dict[str, np.ndarray] = {}
    names = [flow.value for flow in flows]
    for values in watch(graph, names, few, folder) if flows else ():
        for name in names:
            sizes = np.abs(values[name])
            axes = (0, *range(2, sizes.ndim))
            peaks[name] = np.maximum(peaks.get(name, 0), sizes.max(axes))
    return peaks


class _Walk:
    """Follows values through the graph.

    Args:
        graph: the inference model's graph.
        variables: the inference model's variables by path.
    """

    def __init__(self, graph: Graph, variables: Mapping) -> None:
        self._graph = graph
        self._variables = variables
        self._outputs = {output.name for output in graph.outputs}
        self._shapes = {
            name: [axis.dim_value for axis in kind.shape.dim]
            for name, kind in graph.inferred_types().items()
        }
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.nodes:
            for name in set(node.input):
                self._readers.setdefault(name, []).append(node)

    def flows(self) -> Iterator[Flow]:
        """Find the flows, in the order of the graph."""
        for node in self._graph.nodes:
            kernel = self._kernel(node)
            if not kernel or _group(node) > 1:
                continue
            try:
                bias, value = self._biased(node)
                after = self._only_reader(value)
                if after is not None and after.op_type == "Relu":
                    value = after.output[0]
                readers = tuple(self._follow(value, 0))
            except _Blocked:
                continue
            if readers:
                yield Flow(kernel, bias, value, readers)

    def _follow(self, value: str, first: int) -> Iterator[tuple[str, int]]:
        if value in self._outputs:
            raise _Blocked
        for node in self._readers.get(value, ()):
            kernel = self._kernel(node)
            if kernel:
                yield self._read(node, kernel, value), first
            elif node.op_type == "Concat":
                yield from self._follow(
                    node.output[0], first + self._offset(node, value)
                )
            elif self._passes(node, value):
                yield from self._follow(node.output[0], first)
            else:
                raise _Blocked

    def _read(self, node, kernel, value):
        """Return the kernel if it reads every channel of the value."""
        shape, group = self._shapes[value], _group(node)
        flat = node.op_type == "Conv" or len(shape) == 2
        if list(node.input).count(value) > 1 or node.input[0] != value:
            raise _Blocked
        # Of the grouped convolutions the depthwise ones read all channels.
        depth = self._variables[kernel].shape[-2]
        if not flat or (group > 1 and not group == depth == shape[1]):
            raise _Blocked
        return kernel

    def _offset(self, node, value):
        """Return how many channels of a concatenation stand before."""
        place = list(node.input).index(value)
        sizes = [self._shapes[name][1] for name in node.input[:place]]
        axis = _attribute(node, "axis")
        twice = list(node.input).count(value) > 1
        if axis % len(self._shapes[value]) != 1 or twice or 0 in sizes:
            raise _Blocked
        return sum(sizes)

    def _passes(self, node, value):
        """Say whether channels keep their place and a factor its meaning."""
        if node.op_type in _THROUGH:
            return True
        shape, after = self._shapes[value], self._shapes[node.output[0]]
        if len(shape) < 2 or len(after) < 2 or after[1] != shape[1]:
            return False
        if node.op_type in _RESHAPES:
            return all(size == 1 for size in [*shape[2:], *after[2:]])
        if node.op_type in _REDUCTIONS:
            axes = self._graph.value(node.input[1])
            return axes is not None and not {0, 1} & set(
                int(axis) % len(shape) for axis in axes
            )
        return False

    def _kernel(self, node):
        """Return the path of the variable that a kernel is."""
        if node.op_type not in _KERNELS:
            return None
        return self._path(node.input[1], "kernel")

    def _path(self, value, name):
        constant = self._graph.constants.get(value)
        if len(self._readers.get(value, ())) > 1:
            return None  # a factor would reach the other readers, too
        path = (constant and constant.weight) or ""
        if path in self._variables and path.rpartition("/")[2] == name:
            return path
        return None

    def _biased(self, node):
        """Return the path of the bias, None if there is none, and the sum.

        Where arithmetic was folded into a convolution, its bias is not the
        variable's, through which alone it could be scaled.
        """
        value = node.output[0]
        after = self._only_reader(value)
        if len(node.input) > 2:
            name = node.input[2]
        elif after is not None and after.op_type == "Add":
            name = next((x for x in after.input if x != value), value)
            value = after.output[0]
        else:
            return None, value
        if name not in self._graph.constants:
            raise _Blocked
        path, constant = self._path(name, "bias"), self._graph.constants[name]
        held = np.zeros(constant.shape)
        if path:
            held = keras.ops.convert_to_numpy(self._variables[path])
        if not np.array_equal(constant.load().ravel(), held.ravel()):
            raise _Blocked
        return path, value

    def _only_reader(self, value):
        readers = self._readers.get(value, [])
        alone = len(readers) == 1 and value not in self._outputs
        return readers[0] if alone else None


def _group(node) -> int:
    return _attribute(node, "group") or 1


def _attribute(node, name) -> int:
    return next((a.i for a in node.attribute if a.name == name), 0)
