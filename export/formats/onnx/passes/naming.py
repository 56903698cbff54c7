"""Names and an order that depend on the model alone.

tf2onnx numbers what it makes, and the numbers change with the hash seed and
with what the process converted before.
"""

from collections.abc import Sequence

import onnx

from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.passes.sorting import depth_first
from keras_inception_export.formats.unique_name import unique_name


def settle_names(
    graph: Graph, inputs: Sequence[str], outputs: Sequence[str]
) -> None:
    """Name everything in a sorted graph.

    Inputs and outputs are named by the inference model; weights by the path of their
    Keras variable; a node `<layer>/<operator>`, where the layer is the one
    whose weight feeds it, else the one that computed it, else that of the
    node before it; other constants `<node>/<operand>`.
    """
    names = _Names(graph)
    for value, name in zip(
        [*graph.inputs, *graph.outputs], [*inputs, *outputs], strict=True
    ):
        value.name = names.settle(value.name, name)
    layers: dict[str, str] = {}
    for node in graph.nodes:
        layer = _layer(graph, node, layers)
        layers.update(dict.fromkeys(node.output, layer))
        names.rename(node, f"{layer}/" if layer else "")
    graph.constants = {
        name: graph.constants[old]
        for old, name in names.settled.items()
        if old in graph.constants
    }


def _layer(graph: Graph, node: onnx.NodeProto, layers: dict[str, str]) -> str:
    for name in node.input:
        if name in graph.constants:
            layer = (graph.constants[name].weight or "").rpartition("/")[0]
            if layer:
                return layer
    if node.name in graph.layers:
        return graph.layers[node.name]
    return next((layers[name] for name in node.input if name in layers), "")


class _Names:
    """The new name of each value, by its old one; all new names differ.

    Args:
        graph: the graph whose values are named.
    """

    def __init__(self, graph: Graph) -> None:
        self.settled = {"": ""}
        self._graph = graph
        self._values: set[str] = set()
        self._nodes: set[str] = set()

    def settle(self, old: str, wanted: str) -> str:
        """Return a value's new name; `wanted` unless that is taken."""
        if old not in self.settled:
            self.settled[old] = unique_name(wanted, self._values)
        return self.settled[old]

    def rename(self, node: onnx.NodeProto, prefix: str) -> None:
        """Rename a node, what it reads, holds and computes."""
        node.name = unique_name(prefix + node.op_type, self._nodes)
        node.doc_string = ""
        for index, name in enumerate(node.input):
            node.input[index] = self.settle(name, self._constant(node, index))
        attributes = sorted(node.attribute, key=lambda item: item.name)
        for attribute in attributes:
            if attribute.HasField("t"):
                attribute.t.name = ""
            if attribute.HasField("g"):
                self._rename_body(attribute.g, f"{node.name}/{attribute.name}")
        del node.attribute[:]
        node.attribute.extend(attributes)
        for index, name in enumerate(node.output):
            wanted = f"{node.name}:{index}" if index else node.name
            node.output[index] = self.settle(name, wanted)

    def _constant(self, node: onnx.NodeProto, index: int) -> str:
        """Return the name that a constant gets from its first reader."""
        constant = self._graph.constants.get(node.input[index])
        if constant is not None and constant.weight is not None:
            return constant.weight
        schema = onnx.defs.get_schema(
            node.op_type, self._graph.opset, node.domain
        )
        operands = [operand.name for operand in schema.inputs]
        if index < len(operands):
            return f"{node.name}/{operands[index]}"
        return f"{node.name}/{operands[-1]}_{index}"

    def _rename_body(self, body: onnx.GraphProto, name: str) -> None:
        """Rename a body; names that it defines do not reach outside."""
        outside = self.settled
        tensors = {tensor.name: tensor for tensor in body.initializer}
        nodes = depth_first(body.node, [value.name for value in body.output])
        defined = {value.name for value in body.input} | set(tensors)
        defined.update(output for node in nodes for output in node.output)
        self.settled = {
            old: new
            for old, new in outside.items()
            if old not in defined or not old
        }
        for value in body.input:
            value.name = self.settle(value.name, f"{name}/input")
        for node in nodes:
            self.rename(node, f"{name}/")
        for value in body.output:
            value.name = self.settle(value.name, f"{name}/output")
        for old, tensor in tensors.items():
            tensor.name = self.settle(old, f"{name}/unread")
        for value in [*body.input, *body.output]:
            for axis in value.type.tensor_type.shape.dim:
                if axis.HasField("dim_param"):
                    axis.ClearField("dim_param")
        body.name, body.doc_string = name, ""
        del body.value_info[:], body.node[:], body.initializer[:]
        body.node.extend(nodes)
        body.initializer.extend(
            sorted(tensors.values(), key=lambda tensor: tensor.name)
        )
        outside.update(
            (old, new)
            for old, new in self.settled.items()
            if old not in defined
        )
        self.settled = outside
