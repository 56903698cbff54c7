"""Sort nodes depth-first, so that their order does not depend on tf2onnx."""

from collections.abc import Iterator, Sequence

import onnx

from keras_inception_export.formats.onnx.graph import Graph, read_values


def sort_depth_first(graph: Graph) -> None:
    """Sort the nodes depth-first from the outputs, which need all that stays.

    Nodes and constants that no output depends on are removed.
    """
    names = [value.name for value in graph.outputs]
    graph.nodes = depth_first(graph.nodes, names)
    used = graph.uses()
    graph.constants = {
        x: graph.constants[x] for x in graph.constants if x in used
    }


def depth_first(
    nodes: Sequence[onnx.NodeProto], outputs: list[str]
) -> list[onnx.NodeProto]:
    """Return the nodes that outputs depend on, each after those it reads."""
    producers = {name: node for node in nodes for name in node.output if name}
    visited: set[str] = set()
    ordered = []
    stack: list[tuple[onnx.NodeProto, Iterator[str]]] = []

    def visit(name: str) -> None:
        node = producers.get(name)
        if node is not None and name not in visited:
            visited.update(node.output)
            stack.append((node, read_values(node)))

    for output in outputs:
        visit(output)
        while stack:
            node, reads = stack[-1]
            name = next(reads, None)
            if name is not None:
                visit(name)
            else:
                ordered.append(node)
                stack.pop()
    return ordered
