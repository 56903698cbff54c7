"""Remove Identity nodes."""

from collections.abc import Iterable

import onnx

from keras_inception_export.formats.onnx.graph import (
    Graph,
    bodies,
    rename_reads,
)


def remove_identities(graph: Graph) -> None:
    """Remove every Identity that no output needs, in bodies too.

    If several outputs have the same value, the first is computed and the
    others are copies of it.
    """
    outputs = [value.name for value in graph.outputs]
    graph.nodes = _without_identities(graph.nodes, outputs)


def _without_identities(
    nodes: Iterable[onnx.NodeProto], outputs: list[str]
) -> list[onnx.NodeProto]:
    """Return the nodes of a graph or body with the fewest Identity nodes."""
    kept = [node for node in nodes if node.op_type != "Identity"]
    identities = [node for node in nodes if node.op_type == "Identity"]
    copies = {node.output[0]: node.input[0] for node in identities}
    computed = {name for node in kept for name in node.output}
    renamed: dict[str, str] = {}
    added = []
    for output in dict.fromkeys(outputs):
        source = _source(output, copies)
        if source in computed and source not in renamed:
            renamed[source] = output
        elif source in computed or source != output:
            added.append((source, output))
    for copy in copies:
        source = _source(copy, copies)
        renamed[copy] = renamed.get(source, source)
    for node in kept:
        rename_reads(node, renamed)
        node.output[:] = [renamed.get(name, name) for name in node.output]
        for body in bodies(node):
            names = [value.name for value in body.output]
            inner = _without_identities(list(body.node), names)
            del body.node[:]
            body.node.extend(inner)
    return kept + [
        onnx.helper.make_node("Identity", [renamed.get(name, name)], [output])
        for name, output in added
    ]


def _source(name: str, copies: dict[str, str]) -> str:
    """Return the value that a chain of Identity nodes copies."""
    while name in copies:
        name = copies[name]
    return name
