"""Find the Keras layer that made a graph node, from TensorFlow's name scopes.

The name of a scope is ambiguous: the first call of a layer `conv` may run in a
scope `conv_1`, like its second call or a layer `conv_1`. So the layer of each
scope is recorded while the model is traced.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from keras_inception_export.model.call_hooks import observed


@contextmanager
def functions_inlined() -> Iterator[None]:
    """Inline nested `tf.function`s that are traced in a block."""
    import tensorflow as tf

    eagerly = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(eagerly)


@contextmanager
def recorded(model: Any, scopes: dict[str, str]) -> Iterator[None]:
    """Record in `scopes` the path of the layer that runs in each name scope.

    The model itself is left out. Nested `tf.function`s, in which Keras
    computes grouped convolutions, are inlined: scopes start again at the root
    within them, and ONNX cannot express them.
    """
    import tensorflow as tf

    def record(layer, call, *args, **kwargs):
        path = layer.path or layer.name
        scope = tf.get_current_name_scope()
        if scopes.setdefault(scope, path) == path:
            return call(*args, **kwargs)
        # A wrapper may run `layer.call`, which enters no scope.
        with tf.name_scope(layer.name) as inner:
            scopes[inner.rstrip("/")] = path
            return call(*args, **kwargs)

    layers = model._flatten_layers(include_self=False)
    with functions_inlined(), observed(layers, record):
        yield


def split_scope(node: str, scopes: Mapping[str, str]) -> tuple[str | None, str]:
    """Return the path of the layer that made a node, and the rest of its name.

    The path is `None` for a node that no layer made.
    """
    scope, rest = node, ""
    while scope and scope not in scopes:
        scope, _, last = scope.rpartition("/")
        rest = f"{last}/{rest}" if rest else last
    return scopes.get(scope), rest


def layer_in_scope(node: str, scopes: Mapping[str, str]) -> str | None:
    """Return the path of the layer that made a node, or `None`."""
    return split_scope(node, scopes)[0]


def nested_name(node: str, scopes: Mapping[str, str]) -> str:
    """Return the layer that made a node, with the layers around it, or `""`.

    This is how messages name a layer: Keras builds what a wrapper contains
    before the wrapper when it loads both, and the path then lacks the wrapper.
    """
    steps = node.split("/")
    found = outer = ""
    for end in range(1, len(steps) + 1):
        path = scopes.get("/".join(steps[:end]), outer)
        if path != outer:
            found = f"{found}/{path.removeprefix(f'{outer}/')}".lstrip("/")
            outer = path
    return found
