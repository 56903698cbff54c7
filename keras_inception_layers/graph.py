"""Functional models as graphs of nodes: one node per call of a layer."""

from collections.abc import Iterable
from typing import Any, Protocol

import keras


class KerasModel(Protocol):
    """What type checkers require of an argument that is a Keras model.

    Keras ships no types, so to them `keras.Model` is `Any`, and an argument
    annotated with it could be anything.
    """

    name: Any
    trainable: Any

    @property
    def layers(self) -> Any:
        """The layers of the model."""

    def count_params(self) -> Any:
        """Return the number of parameters."""


def check_model(role: str, model: object) -> None:
    """Raise ValueError unless the argument `role` is a Keras model."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`{role}` must be a Keras model. Received: {role}={model!r}"
        )


def functional_graph(model: object) -> Any:
    """Return the Functional model that a model is or, if Sequential, contains.

    Return None for anything else, such as an operation or a model that is
    subclassed, not built, or computes more than its graph.
    """
    if not isinstance(model, keras.Model) or has_own_call(model):
        return None
    if isinstance(model, keras.Sequential):
        return model._functional
    return model if isinstance(model, keras.Function) else None


def has_own_call(model: Any) -> bool:
    """Return whether a model or its class has a `call` of its own."""
    definer = next(x for x in type(model).__mro__ if "call" in vars(x))
    return "call" in vars(model) or not definer.__module__.startswith("keras.")


def ordered_nodes(outputs: Iterable[Any]) -> list[Any]:
    """Return the nodes that compute some tensors, each after those it reads.

    The graph is traversed from input to output, one branch after the other in
    the order in which they are concatenated.
    """
    order = {}
    stack = [_node(tensor) for tensor in reversed(list(outputs))]
    while stack:
        sources = map(_node, stack[-1].input_tensors)
        missing = (node for node in sources if id(node) not in order)
        if (node := next(missing, None)) is not None:
            stack.append(node)
        else:
            node = stack.pop()
            order[id(node)] = node
    return list(order.values())


def _node(tensor: Any) -> Any:
    """Return the node that computes a symbolic tensor."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]
