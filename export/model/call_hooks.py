"""Wrap the `call` of Keras layers for a while."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def observed(layers: Iterable[Any], wrap: Callable) -> Iterator[None]:
    """Replace the `call` of each layer by `wrap(layer, call)` in a block.

    Blocks may be nested.
    """
    before = [(layer, vars(layer).get("call")) for layer in layers]
    for layer, _ in before:
        # Keras's own `__setattr__` would track the function as state.
        object.__setattr__(layer, "call", wrap(layer, layer.call))
    try:
        yield
    finally:
        for layer, call in before:
            object.__delattr__(layer, "call")
            if call is not None:
                object.__setattr__(layer, "call", call)
