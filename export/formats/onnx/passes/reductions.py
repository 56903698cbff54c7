"""Let reductions read what the Transpose before them reads."""

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import Graph, attribute_of

REDUCTIONS = frozenset(
    {"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum"}
)


def permute_reductions(graph: Graph) -> None:
    """Reduce before a Transpose, along permuted axes, instead of after it.

    A reduction stays where it keeps the reduced axes, or where the axes that
    are left would be in another order.
    """
    producers = graph.producers()
    for node in graph.nodes:
        source = producers.get(node.input[0]) if node.input else None
        if (
            node.op_type not in REDUCTIONS
            or source is None
            or source.op_type != "Transpose"
            or attribute_of(node, "keepdims", 1)
        ):
            continue
        order = list(attribute_of(source, "perm", ()))
        axes = _reduced_axes(graph, node)
        if axes is None or not order:
            continue
        reduced = [order[axis] for axis in axes]
        kept = [axis for axis in order if axis not in reduced]
        if kept == sorted(kept):
            node.input[0] = source.input[0]
            _set_reduced_axes(graph, node, sorted(reduced))


def _reduced_axes(graph: Graph, node: onnx.NodeProto) -> list[int] | None:
    """Return the axes of a reduction; `None` if they are not known."""
    if len(node.input) > 1:
        value = graph.value(node.input[1])
        return None if value is None else value.tolist()
    return list(attribute_of(node, "axes", ())) or None


def _set_reduced_axes(
    graph: Graph, node: onnx.NodeProto, axes: list[int]
) -> None:
    if len(node.input) > 1:
        node.input[1] = graph.add_value(np.array(axes, np.int64))
        return
    for attribute in node.attribute:
        if attribute.name == "axes":
            attribute.ints[:] = axes
