"""Give Reshape nodes constant shapes."""

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import Graph, axis_lengths


def fix_reshapes(graph: Graph) -> None:
    """Give a constant shape to each Reshape with at most one unknown axis.

    An axis of unknown length that keeps its index and its length becomes 0.
    A Reshape that changes nothing becomes an Identity.
    """
    types = graph.inferred_types()
    producers = graph.producers()
    for node in graph.nodes:
        if node.op_type != "Reshape":
            continue
        before = axis_lengths(types.get(node.input[0]))
        after = axis_lengths(types.get(node.output[0]))
        if after is None or 0 in after:
            continue
        pack = producers.get(node.input[1])
        if pack is not None and pack.op_type == "Cast":
            pack = producers.get(pack.input[0])
        if pack is not None and _begins_with_rest(graph, pack):
            # An output's first axis is declared as the batch.
            after[0] = after[0] if isinstance(after[0], int) else ""
        if before is not None and _is_same_shape(before, after):
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
            continue
        shape = [
            length
            if isinstance(length, int)
            else 0
            if length and before and before[axis : axis + 1] == [length]
            else -1
            for axis, length in enumerate(after)
        ]
        if shape.count(-1) <= 1 and node.input[1] not in graph.constants:
            node.input[1] = graph.add_constant(np.array(shape, np.int64))


def _begins_with_rest(graph: Graph, pack: onnx.NodeProto) -> bool:
    """Return whether a computed shape begins with -1: whatever is left."""
    first = graph.value(pack.input[0]) if pack.input else None
    return pack.op_type == "Concat" and first is not None and first[0] == -1


def _is_same_shape(before: list[int | str], after: list[int | str]) -> bool:
    """Return whether two shapes with equally many elements are the same.

    One axis of unknown length follows from the others.
    """
    if len(before) != len(after):
        return False
    differing = [
        {type(old), type(new)}
        for old, new in zip(before, after, strict=True)
        if old != new or not old
    ]
    return differing in ([], [{str}])
