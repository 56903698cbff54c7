"""Identity nodes, removed."""

from collections.abc import Iterable

import onnx

from keras_inception_export.formats.onnx.graph import Graph, rename_reads


def remove_identities(graph: Graph) -> None:
    """Drop every Identity that no output needs, in the bodies too.

    Of several outputs with one value, the first is computed and the others
    are copies of it.
    """
    graph.nodes = _without_identities(
        graph.nodes, [value.name for value in graph.outputs]
    )


def _without_identities(
    nodes: Iterable[onnx.NodeProto], outputs: list[str]
) -> list[onnx.NodeProto]:
    copies = {
        node.output[0]: node.input[0]
        for node in nodes
        if node.op_type == "Identity"
    }
    kept = [node for node in nodes if node.op_type != "Identity"]
    computed = {name for node in kept for name in node.output}
    renamed: dict[str, str] = {}
    added = []
    for output in dict.fromkeys(outputs):
        root = _root(output, copies)
        if root in computed and root not in renamed:
            renamed[root] = output
        elif root in computed or root != output:
            added.append((root, output))
    for copy in copies:
        root = _root(copy, copies)
        renamed[copy] = renamed.get(root, root)
    for node in kept:
        rename_reads(node, renamed)
        for index, name in enumerate(node.output):
            node.output[index] = renamed.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                body = attribute.g
                inner = _without_identities(
                    list(body.node), [value.name for value in body.output]
                )
                del body.node[:]
                body.node.extend(inner)
    return kept + [
        onnx.helper.make_node("Identity", [renamed.get(root, root)], [output])
        for root, output in added
    ]


def _root(name: str, copies: dict[str, str]) -> str:
    while name in copies:
        name = copies[name]
    return name
