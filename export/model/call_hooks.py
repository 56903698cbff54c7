"""Standing between a Keras layer and its caller."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def observed(layers: Iterable[Any], wrap: Callable) -> Iterator[None]:
    """Let `wrap(layer, call)` stand in for the `call` of each layer."""
    layers = list(layers)
    for layer in layers:
        # Past Keras, which would take a function that it is given for state.
        object.__setattr__(layer, "call", wrap(layer, layer.call))
    try:
        yield
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")
