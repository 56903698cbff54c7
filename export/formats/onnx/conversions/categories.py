"""Conversions of operations that look categories up."""

from typing import Any

from onnx import TensorProto

from keras_inception_export.formats.onnx.conversions.rewriting import (
    Conversion,
    Formula,
)


def _bucketize(graph: Any, node: Any) -> None:
    """Count the boundaries that are not above a value."""
    new = Formula(graph, node)
    boundaries = new.constant(node.get_attr("boundaries").floats, FLOAT)
    x = new.cast(new.inputs[0], FLOAT)
    last = new.constant([-1], TensorProto.INT64)
    below = new("Less", new("Unsqueeze", x, last), boundaries)
    reached = new.cast(new("Not", below), TensorProto.INT64)
    count = new("ReduceSum", reached, last, keepdims=0)
    new.replace_with(new.cast(count, graph.get_dtype(node.output[0])))


def _one_hot(graph: Any, node: Any) -> None:
    """Compare with every index: a negative one is hot nowhere.

    In ONNX, OneHot counts negative indices from the end.
    """
    new = Formula(graph, node)
    indices, depth, on, off = new.inputs
    axis = node.get_attr_value("axis", -1)
    rank = len(graph.get_shape(node.output[0]))
    axis %= rank
    integer = TensorProto.INT64
    categories = new(
        "Range",
        new.constant(0, integer),
        new.cast(depth, integer),
        new.constant(1, integer),
    )
    shape = [-1 if x == axis else 1 for x in range(rank)]
    categories = new("Reshape", categories, new.constant(shape, integer))
    wanted = new(
        "Unsqueeze", new.cast(indices, integer), new.constant([axis], integer)
    )
    new.replace_with(new("Where", new("Equal", wanted, categories), on, off))


FLOAT = TensorProto.FLOAT

CATEGORIES: dict[str, Conversion] = {
    "Bucketize": _bucketize,
    "OneHot": _one_hot,
}
