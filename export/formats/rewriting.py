"""Replace TensorFlow operations while a function is traced."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import tensorflow as tf
from tensorflow.python.framework import op_def_registry
from tensorflow.python.framework.func_graph import FuncGraph

Rewrite = Callable[..., tf.Tensor | None]
"""A function of an operation's inputs, in order, that returns what it computes,
or `None` to leave the operation as it is. Its keyword-only arguments are the
operation's attributes of the same names; each must have a default."""


@contextmanager
def rewritten(rewrites: Mapping[str, Rewrite]) -> Iterator[None]:
    """Replace the operations of these types in every graph that is traced.

    A rewrite may use its own type of operation, which is then left as it is.
    What replaces an operation is in its name scope, so it belongs to the same
    Keras layer.
    """
    # Every function that makes an operation in a graph calls this one.
    create = FuncGraph._create_op_internal
    usable = dict(rewrites)

    def create_rewritten(
        graph: FuncGraph, op_type: str, inputs: Any, *args: Any, **kwargs: Any
    ) -> tf.Operation:
        rewrite = usable.pop(op_type, None)
        if rewrite is not None:
            attributes = kwargs.get("attrs") or {}
            names = (getattr(rewrite, "__kwdefaults__", None) or {}).keys()
            if not names <= attributes.keys():  # as in the body of a loop
                attributes = _defaults(op_type) | attributes
            wanted = {name: _value(attributes[name]) for name in names}
            try:
                result = rewrite(*inputs, **wanted)
            finally:
                usable[op_type] = rewrite
            if result is not None:
                return tf.identity(result).op
        return create(graph, op_type, inputs, *args, **kwargs)

    with patch.object(FuncGraph, "_create_op_internal", create_rewritten):
        yield


def _defaults(op_type: str) -> dict[str, Any]:
    attributes = op_def_registry.get(op_type).attr
    return {attribute.name: attribute.default_value for attribute in attributes}


def _value(attribute: Any) -> Any:
    """Return an attribute that is a flag, a text or a list of integers."""
    kind = attribute.WhichOneof("value")
    if kind == "list":
        return list(attribute.list.i)
    return attribute.s.decode() if kind == "s" else getattr(attribute, kind)


def op_type_of(x: tf.Tensor) -> str:
    """Return the type of the operation that computes a tensor of a graph."""
    return "" if hasattr(x, "numpy") else x.op.type
