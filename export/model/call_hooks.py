"""Observe or change the calls of Keras layers for a while."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Any

import keras


@contextmanager
def replaced(settings: Iterable[tuple[Any, str, Any]]) -> Iterator[None]:
    """Set attributes of layers and other objects in a block.

    `settings` has an object, the name of an attribute, and its value.
    """
    with ExitStack() as stack:
        for owner, name, value in settings:
            # Keras's own `__setattr__` would track the value as state.
            if name in vars(owner):
                old = vars(owner)[name]
                stack.callback(object.__setattr__, owner, name, old)
            else:
                stack.callback(object.__delattr__, owner, name)
            object.__setattr__(owner, name, value)
        yield


def observed(
    layers: Iterable[Any], hook: Callable, method: str = "call"
) -> AbstractContextManager[None]:
    """Call `hook(layer, call, *args, **kwargs)` instead of the layers' `call`.

    A layer that is listed twice has one hook. Blocks may be nested.
    """
    distinct = {id(layer): layer for layer in layers}.values()
    return replaced(
        (layer, method, partial(hook, layer, getattr(layer, method)))
        for layer in distinct
    )


def is_composite(layer: keras.Layer) -> bool:
    """Return whether a layer is a model, or none of Keras.

    Others call the layers within them in ways of their own: a recurrent layer
    its cell, an attention layer its projections.
    """
    builtin = type(layer).__module__.startswith("keras.")
    return isinstance(layer, keras.Model) or not builtin


def layers_within(
    layer: keras.Layer, enters: Callable[[keras.Layer], bool]
) -> Iterator[keras.Layer]:
    """Yield the layers within a layer, and within each that `enters` names."""
    for child in layer._flatten_layers(recursive=False, include_self=False):
        yield child
        if enters(child):
            yield from layers_within(child, enters)


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
