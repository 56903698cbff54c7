"""Sees what the layers within a model compute, also within blocks."""

import contextlib


@contextlib.contextmanager
def watching(layers, note):
    """Call `note(layer, output)` whenever one of the layers has computed.

    Works while a model runs eagerly; it is as before afterwards.

    Args:
        layers: Keras layers, at any depth of a model.
        note: called with the layer and its output tensor.
    """

    def watched(layer):
        call = layer.call

        def call_and_note(*args, **kwargs):
            output = call(*args, **kwargs)
            note(layer, output)
            return output

        return call_and_note

    layers = list(layers)
    for layer in layers:
        object.__setattr__(layer, "call", watched(layer))
    try:
        yield
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")
