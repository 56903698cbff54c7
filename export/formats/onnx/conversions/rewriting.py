"""What the conversions of single operations are written with."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto
from tf2onnx import utils
from tf2onnx.handler import tf_op

INT64 = TensorProto.INT64
FLOATS = (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE)

Conversion = Callable[["Formula"], str | Sequence[str]]
"""A function that returns what computes the outputs of the formula's node, or
`()` if the node stays: unchanged, or as `Formula.by_default` converts it."""


def as_handler(conversion: Conversion) -> tuple[Callable, list]:
    """Return a conversion as tf2onnx takes it."""

    def convert(graph: Any, node: Any, name: str, arguments: Any) -> None:
        formula = Formula(graph, node)
        values = conversion(formula)
        formula.replace_with([values] if isinstance(values, str) else values)

    return convert, []


@functools.cache
def _defaults(opset: int) -> dict[str, tuple[Callable, dict]]:
    return dict(tf_op.create_mapping(opset, None))


def value_of(node: Any) -> np.ndarray | None:
    """Return the value of a node that is a constant, else `None`."""
    return node.get_tensor_value(as_list=False) if node.is_const() else None


class Formula:
    """Builds the ONNX nodes that replace a node.

    Operands are names of values, Python numbers or lists: a number gets the
    type of the first operand, and a list is a constant of int64.

    Args:
        graph: tf2onnx's graph.
        node: the node, of tf2onnx's class.
    """

    def __init__(self, graph: Any, node: Any) -> None:
        self.graph, self.node = graph, node
        self.inputs = list(node.input)
        self.dtype = graph.get_dtype(node.input[0])
        self.result_dtype = graph.get_dtype(node.output[0])

    def __call__(self, operator: str, *operands: Any, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        return self.several(operator, 1, *operands, **attributes)[0]

    def several(
        self, operator: str, count: int, *operands: Any, **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs; return their names."""
        dtype = next(
            (self.graph.get_dtype(x) for x in operands if isinstance(x, str)),
            self.dtype,
        )
        names = [
            x
            if isinstance(x, str)
            else self.constant(x, INT64 if isinstance(x, list) else dtype)
            for x in operands
        ]
        return self.graph.make_node(
            operator,
            names,
            attr=attributes,
            output_count=count,
            op_name_scope=self.node.name,
        ).output

    def constant(self, value: Any, dtype: int | None = None) -> str:
        """Add a constant of an ONNX type, by default that of the node."""
        array = np.array(
            value, utils.map_onnx_to_numpy_type(dtype or self.dtype)
        )
        name = utils.make_name(f"{self.node.name}_constant")
        return self.graph.make_const(name, array).output[0]

    def cast(self, value: str, dtype: int) -> str:
        """Add a conversion to an ONNX type."""
        return self("Cast", value, to=dtype)

    def rank(self, value: str) -> int:
        """Return the number of axes of a value."""
        return len(self.graph.get_shape(value))

    def by_default(self) -> tuple[()]:
        """Convert the node as tf2onnx does."""
        node, operation = self.node, self.node.type
        convert, options = _defaults(self.graph.opset)[operation]
        node.type = options.get("onnx_op", operation)
        convert(self.graph, node, **{**options, "tf_op": operation})
        return ()

    def replace_with(self, values: Sequence[str]) -> None:
        """Let the readers of the node's outputs read these values, if any."""
        if not values:
            return
        node, graph = self.node, self.graph
        outputs = zip(
            values,
            node.output,
            node.output_shapes,
            node.output_dtypes,
            strict=True,
        )
        graph.remove_node(node.name)
        for value, output, shape, dtype in outputs:
            graph.make_node(
                "Identity",
                [value],
                outputs=[output],
                op_name_scope=node.name,
                shapes=[shape],
                dtypes=[dtype],
            )
