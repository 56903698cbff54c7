"""Nodes in depth-first order."""

from collections.abc import Iterator

import onnx

from keras_inception_export.formats.onnx.graph import Graph, read_values


def sort_depth_first(graph: Graph) -> None:
    """Order the nodes depth-first from the outputs."""
    names = [value.name for value in graph.outputs]
    graph.nodes = depth_first(graph.nodes, names)


def depth_first(
    nodes: list[onnx.NodeProto], outputs: list[str]
) -> list[onnx.NodeProto]:
    """Return the nodes that outputs depend on, each after what it reads."""
    producers = {name: node for node in nodes for name in node.output if name}
    done: set[str] = set()
    ordered = []
    stack: list[tuple[onnx.NodeProto, Iterator[str]]] = []

    def visit(name: str) -> None:
        node = producers.get(name)
        if node is not None and name not in done:
            done.update(node.output)
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
