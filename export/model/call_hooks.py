"""Observe or change the calls of Keras layers for a while."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras


@contextmanager
def observed(layers: Iterable[Any], hook: Callable) -> Iterator[None]:
    """Call `hook(layer, call, *args, **kwargs)` instead of the layers' `call`.

    A layer that is listed twice has one hook. Blocks may be nested.
    """
    layers = list({id(layer): layer for layer in layers}.values())
    replaced = [vars(layer).get("call") for layer in layers]
    for layer in layers:
        # Keras's own `__setattr__` would track the function as state.
        object.__setattr__(layer, "call", partial(hook, layer, layer.call))
    try:
        yield
    finally:
        for layer, call in zip(layers, replaced, strict=True):
            if call is None:
                object.__delattr__(layer, "call")
            else:
                object.__setattr__(layer, "call", call)


def operations_in(model: keras.Model) -> list[Any]:
    """Return every layer and other operation that a call of a model may run.

    Operations that are no layers are the nodes of Functional models, such as
    the product in `x * 2`.
    """
    found = {}
    for layer in model._flatten_layers():
        # A Sequential model delegates to a Functional one.
        graph = vars(layer).get("_functional") or layer
        for operation in (*getattr(graph, "operations", ()), layer):
            if not isinstance(operation, keras.layers.InputLayer):
                found[id(operation)] = operation
    return list(found.values())
