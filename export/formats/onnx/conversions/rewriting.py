"""What the conversions of single operations are written with."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto
from tf2onnx import utils
from tf2onnx.handler import tf_op

INT64 = TensorProto.INT64
FLOATS = (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE)

Conversion = Callable[[Any, Any], None]
"""Converts a node in place: `conversion(graph, node)`, tf2onnx's classes."""


def as_handler(conversion: Conversion) -> tuple[Callable, list]:
    """Return a conversion as tf2onnx takes it."""
    return lambda graph, node, name, arguments: conversion(graph, node), []


def convert_by_default(graph: Any, node: Any) -> None:
    """Convert a node as tf2onnx does."""
    convert, options = _defaults(graph.opset)[node.type]
    operation = node.type
    node.type = options.get("onnx_op", operation)
    convert(graph, node, **{**options, "tf_op": operation})


@functools.cache
def _defaults(opset: int) -> dict[str, tuple[Callable, dict]]:
    return dict(tf_op.create_mapping(opset, None))


class Formula:
    """Builds the ONNX nodes that replace a node.

    Operands are names of values, Python numbers or lists: a number gets the
    type of the first operand, and a list is a constant of int64.
    """

    def __init__(self, graph: Any, node: Any) -> None:
        self._graph, self._node = graph, node
        self.inputs = list(node.input)
        self.dtype = graph.get_dtype(node.input[0])

    def __call__(self, operator: str, *operands: Any, **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        return self.several(operator, 1, *operands, **attributes)[0]

    def several(
        self, operator: str, count: int, *operands: Any, **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs; return their names."""
        dtype = next(
            (self._graph.get_dtype(x) for x in operands if isinstance(x, str)),
            self.dtype,
        )
        names = [
            x
            if isinstance(x, str)
            else self.constant(x, INT64 if isinstance(x, list) else dtype)
            for x in operands
        ]
        return self._graph.make_node(
            operator,
            names,
            attr=attributes,
            output_count=count,
            op_name_scope=self._node.name,
        ).output

    def constant(self, value: Any, dtype: int | None = None) -> str:
        """Add a constant of an ONNX type, by default that of the node."""
        array = np.array(
            value, utils.map_onnx_to_numpy_type(dtype or self.dtype)
        )
        name = utils.make_name(f"{self._node.name}_constant")
        return self._graph.make_const(name, array).output[0]

    def cast(self, value: str, dtype: int) -> str:
        """Add a conversion to an ONNX type."""
        return self("Cast", value, to=dtype)

    def replace_with(self, *values: str) -> None:
        """Let the readers of the node's outputs read these values."""
        node, graph = self._node, self._graph
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
