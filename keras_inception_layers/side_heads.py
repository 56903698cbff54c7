"""Remove the side heads of a model, for inference.

The network that has them may be nested in other models, at any depth. Only the
calls that follow a changed model are made again; all other layers, and all
weights, are shared with the original.
"""

import operator
from collections import defaultdict
from collections.abc import Collection
from typing import Any

import keras

from keras_inception_layers.graph import (
    KerasModel,
    functional_graph,
    ordered_nodes,
)
from keras_inception_layers.layers.auxiliary_classifier import SideHead


def drop_auxiliary(model: KerasModel) -> keras.Model:
    """Return the model without its side heads, for inference.

    Args:
        model: a Functional or Sequential model: a network, or one in which the
            network is nested. Its layers and weights are shared with the
            returned model, not copied.

    Returns:
        An uncompiled model with the same inputs, and the outputs that are not
        computed by side heads alone. If only one output remains, it is a
        tensor, not a dictionary, list or tuple, as in a network that is built
        without side heads. If there is no side head, or side heads compute
        every output, `model` itself is returned.

    Raises:
        ValueError: if `model` is not Functional, or if a nested model that is
            not Functional computes side heads and other outputs.

    Example:

    >>> model = VGG16Inception(
    ...     input_shape=(80, 80, 1), classes=10, auxiliary=True
    ... )
    >>> list(model.output)
    ['predictions', 'auxiliary_1', 'auxiliary_2']
    >>> drop_auxiliary(model).output.shape
    (None, 10)
    """
    graph = functional_graph(model)
    if graph is None:
        raise ValueError(
            "`model` must be a Functional model, as a network of this package "
            "is, or a Sequential model that is built. Received: "
            f"model={model!r}. Call the network on a `keras.Input`, and pass "
            "`keras.Model(input, outputs)`."
        )
    side = _side_tensors(graph)
    main = [n for n, x in enumerate(graph.outputs) if id(x) not in side]
    return _with_outputs(model, main) if main else model


def _side_tensors(graph: Any) -> set[int]:
    """Return the ids of the tensors that are computed by side heads alone.

    Every path from an input to them goes through a side head.
    """
    side: set[int] = set()
    for node in ordered_nodes(graph.outputs):
        operation, inputs = node.operation, node.input_tensors
        outputs = node.output_tensors
        if isinstance(operation, SideHead) or (
            inputs and all(id(x) in side for x in inputs)
        ):
            side.update(map(id, outputs))
        elif (inner := functional_graph(operation)) is not None:
            inner_side = _side_tensors(inner)
            for tensor, inner_tensor in zip(
                outputs, inner.outputs, strict=True
            ):
                if id(inner_tensor) in inner_side:
                    side.add(id(tensor))
        elif len(outputs) > 1 and _has_side_heads(operation):
            raise ValueError(
                f'"{operation.name}" of class {type(operation).__name__} has '
                "side heads within it, but is not a Functional model, so it "
                "is unknown which of its outputs they compute. Drop the side "
                "heads of the network within it."
            )
    return side


def _has_side_heads(operation: Any) -> bool:
    return isinstance(operation, keras.layers.Layer) and any(
        isinstance(layer, SideHead) for layer in operation._flatten_layers()
    )


def _with_outputs(model: Any, kept: Collection[int]) -> Any:
    """Return a model with some of the outputs and only what computes them.

    `kept` are their numbers. If nothing is dropped, it is `model` itself.
    """
    graph = functional_graph(model)
    old = [graph.outputs[n] for n in kept]
    new = _without_unread(old)
    if len(old) == len(graph.outputs) and all(map(operator.is_, old, new)):
        return model
    by_number = dict(zip(kept, new, strict=True))
    flat = [by_number.get(n) for n in range(len(graph.outputs))]
    outputs = _drop_none(keras.tree.pack_sequence_as(graph.output, flat))
    return keras.Model(graph.input, outputs, name=model.name)


def _without_unread(outputs: list[Any]) -> list[Any]:
    """Return the tensors, recomputed without unread outputs of inner models."""
    nodes = ordered_nodes(outputs)
    read = {id(x) for node in nodes for x in node.input_tensors}
    read.update(map(id, outputs))
    kept: defaultdict[Any, set[int]] = defaultdict(set)
    for node in nodes:
        if functional_graph(node.operation) is not None:
            kept[node.operation].update(
                n for n, x in enumerate(node.output_tensors) if id(x) in read
            )
    smaller = {x: _with_outputs(x, sorted(kept[x])) for x in kept}
    new: dict[int, Any] = {}
    for node in nodes:
        operation, tensors = node.operation, node.output_tensors
        called = smaller.get(operation, operation)
        inputs = {id(x): new.get(id(x), x) for x in node.input_tensors}
        if called is operation and inputs.keys().isdisjoint(new):
            continue
        if called is not operation:
            tensors = [tensors[n] for n in sorted(kept[operation])]
        args, kwargs = node.arguments.fill_in(inputs)
        results = keras.tree.flatten(called(*args, **kwargs))
        new.update(zip(map(id, tensors), results, strict=True))
    return [new.get(id(x), x) for x in outputs]


def _drop_none(structure: Any) -> Any:
    """Return a structure of outputs without what is None.

    A list, tuple or dictionary that loses all parts but one becomes this part.
    """
    if isinstance(structure, dict):
        parts = {k: _drop_none(x) for k, x in structure.items()}
        left: Any = {k: x for k, x in parts.items() if x is not None}
        values = list(left.values())
    elif isinstance(structure, (list, tuple)):
        values = [x for x in map(_drop_none, structure) if x is not None]
        left = tuple(values) if isinstance(structure, tuple) else values
    else:
        return structure
    if len(values) == len(structure):
        return left
    return left if len(values) > 1 else next(iter(values), None)
