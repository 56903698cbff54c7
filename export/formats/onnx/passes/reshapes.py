"""Give Reshape nodes constant shapes."""

import numpy as np

from keras_inception_export.formats.onnx.graph import Graph, axis_lengths


def fix_reshapes(graph: Graph) -> None:
    """Give a constant shape to each Reshape with at most one unknown axis.

    An axis of unknown length that keeps its index and its length becomes 0.
    A Reshape that changes nothing becomes an Identity.
    """
    types = graph.inferred_types()
    for node in graph.nodes:
        if node.op_type != "Reshape":
            continue
        before = axis_lengths(types.get(node.input[0]))
        after = axis_lengths(types.get(node.output[0]))
        if after is None or 0 in after:
            continue
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
