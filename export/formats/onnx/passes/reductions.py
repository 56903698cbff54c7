"""Move reductions before a Transpose, and split those of separate axes."""

from collections.abc import Sequence

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import (
    Graph,
    attribute_of,
    axis_lengths,
)

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
        axes = _axes(graph, node)
        if axes is None or not order:
            continue
        reduced = sorted(order[axis] for axis in axes)
        kept = [axis for axis in order if axis not in reduced]
        if kept != sorted(kept):
            continue
        node.input[0] = source.input[0]
        _set_axes(graph, node, reduced)


def split_reductions(graph: Graph) -> None:
    """Add up axes that are not the last ones of a tensor one after the other.

    ONNX Runtime adds one value at a time to a sum over such axes: over 300 x
    300 values, its error is 100 units of rounding, and this way 4.
    """
    nodes: list[onnx.NodeProto] = []
    types: dict[str, onnx.TypeProto.Tensor] = {}
    for node in graph.nodes:
        is_sum = node.op_type in ("ReduceMean", "ReduceSum")
        axes = (_axes(graph, node) if is_sum else None) or ()
        if len(axes) > 1:
            types = types or graph.inferred_types()
            rank = len(axis_lengths(types.get(node.input[0])) or ())
            axes = sorted(axis % rank for axis in axes) if rank else []
            last_axes = list(range(rank - len(axes), rank))
            while len(axes) > 1 and axes != last_axes:
                last = axes.pop()
                first = onnx.NodeProto()
                first.CopyFrom(node)
                first.name = f"{node.name}_{last}"
                first.output[0] = f"{node.output[0]}_{last}"
                if node.name in graph.layers:
                    graph.layers[first.name] = graph.layers[node.name]
                _set_axes(graph, first, [last])
                nodes.append(first)
                node.input[0] = first.output[0]
                _set_axes(graph, node, axes)
        nodes.append(node)
    graph.nodes = nodes


def _axes(graph: Graph, node: onnx.NodeProto) -> Sequence[int] | None:
    """Return the axes of a reduction, or `None` if they are not known."""
    if len(node.input) > 1:
        value = graph.value(node.input[1])
        return None if value is None else value.tolist()
    return attribute_of(node, "axes", None)


def _set_axes(graph: Graph, node: onnx.NodeProto, axes: Sequence[int]) -> None:
    if len(node.input) > 1:
        node.input[1] = graph.add_constant(np.array(axes, np.int64))
    else:
        (attribute,) = (x for x in node.attribute if x.name == "axes")
        attribute.ints[:] = axes
