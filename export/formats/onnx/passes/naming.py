"""Give values and nodes names that depend only on the model.

tf2onnx numbers the names it generates, and the numbers change with the hash
seed and with what the process converted before.
"""

from collections.abc import Sequence

import onnx

from keras_inception_export.formats.onnx.graph import Graph, depth_first
from keras_inception_export.formats.unique_name import unique_name


def assign_names(
    graph: Graph, inputs: Sequence[str], outputs: Sequence[str]
) -> None:
    """Rename every value and node of a sorted graph.

    A weight gets the path of its Keras variable, a node `<layer>/<operator>`
    and any other constant `<node>/<operand>`. The layer of a node is the one
    that owns a weight it reads, else the one that made the node, else that of
    a node before it.
    """
    names = _Names(graph)
    for value, name in zip(
        [*graph.inputs, *graph.outputs], [*inputs, *outputs], strict=True
    ):
        value.name = names.rename(value.name, name)
    layers: dict[str, str] = {}
    for node in graph.nodes:
        layer = _layer(graph, node, layers)
        layers.update(dict.fromkeys(node.output, layer))
        names.rename_node(node, f"{layer}/" if layer else "")
    graph.constants = {
        name: graph.constants[old]
        for old, name in names.renamed.items()
        if old in graph.constants
    }


def _layer(graph: Graph, node: onnx.NodeProto, layers: dict[str, str]) -> str:
    """Return the layer of a node; `""` if there is none."""
    for name in node.input:
        if name in graph.constants:
            layer = (graph.constants[name].weight or "").rpartition("/")[0]
            if layer:
                return layer
    if node.name in graph.layers:
        return graph.layers[node.name]
    return next((layers[name] for name in node.input if name in layers), "")


class _Names:
    """The new name of each value by its old name; no new name occurs twice."""

    def __init__(self, graph: Graph) -> None:
        self.renamed = {"": ""}
        self._graph = graph
        self._values: set[str] = set()
        self._nodes: set[str] = set()

    def rename(self, old: str, wanted: str) -> str:
        """Return a value's new name: `wanted`, numbered if it is in use."""
        if old not in self.renamed:
            self.renamed[old] = unique_name(wanted, self._values)
        return self.renamed[old]

    def rename_node(self, node: onnx.NodeProto, prefix: str) -> None:
        """Rename a node, the values it reads and computes, and its bodies."""
        node.name = unique_name(prefix + node.op_type, self._nodes)
        node.doc_string = ""
        for index, name in enumerate(node.input):
            node.input[index] = self.rename(name, self._operand(node, index))
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
            node.output[index] = self.rename(name, wanted)

    def _operand(self, node: onnx.NodeProto, index: int) -> str:
        """Return the name for a constant whose first reader is `node`."""
        constant = self._graph.constants.get(node.input[index])
        if constant is not None and constant.weight is not None:
            return constant.weight
        opset = self._graph.opset
        operands = onnx.defs.get_schema(node.op_type, opset, node.domain).inputs
        if index < len(operands):
            return f"{node.name}/{operands[index].name}"
        return f"{node.name}/{operands[-1].name}_{index}"

    def _rename_body(self, body: onnx.GraphProto, name: str) -> None:
        """Rename a body; the names it defines are not visible outside it."""
        outside = self.renamed
        tensors = {tensor.name: tensor for tensor in body.initializer}
        nodes = depth_first(body.node, [value.name for value in body.output])
        defined = {value.name for value in body.input} | set(tensors)
        defined.update(*(node.output for node in nodes))
        defined.discard("")
        self.renamed = {
            old: new for old, new in outside.items() if old not in defined
        }
        for value in body.input:
            value.name = self.rename(value.name, f"{name}/input")
        for node in nodes:
            self.rename_node(node, f"{name}/")
        for value in body.output:
            value.name = self.rename(value.name, f"{name}/output")
        for old, tensor in tensors.items():
            tensor.name = self.rename(old, f"{name}/unread")
        for value in [*body.input, *body.output]:
            for axis in value.type.tensor_type.shape.dim:
                axis.ClearField("dim_param")
        body.name, body.doc_string = name, ""
        del body.value_info[:], body.node[:], body.initializer[:]
        body.node.extend(nodes)
        body.initializer.extend(
            sorted(tensors.values(), key=lambda tensor: tensor.name)
        )
        outside.update(
            (old, new)
            for old, new in self.renamed.items()
            if old not in defined
        )
        self.renamed = outside
