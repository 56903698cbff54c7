"""Move reductions before the Transpose whose output they read."""

import numpy as np

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
        if len(node.input) > 1:
            axes = graph.value(node.input[1])
        else:
            axes = attribute_of(node, "axes", None)
        if axes is None or not order:
            continue
        reduced = sorted(order[axis] for axis in axes)
        kept = [axis for axis in order if axis not in reduced]
        if kept != sorted(kept):
            continue
        node.input[0] = source.input[0]
        if len(node.input) > 1:
            node.input[1] = graph.add_constant(np.array(reduced, np.int64))
        else:
            (attribute,) = (x for x in node.attribute if x.name == "axes")
            attribute.ints[:] = reduced
