"""Find the layers of a network that own its weights, in graph order."""

from collections.abc import Iterator
from typing import Any

from keras_inception_layers.graph import functional_graph, ordered_nodes
from keras_inception_layers.layers.conv_bn import ConvBN


def leaves(layer: Any) -> list[Any]:
    """Return the innermost layers that have weights, in order.

    A Functional model is traversed from input to output, one branch after the
    other in the order in which they are concatenated. Any other layer with a
    `layers` attribute is traversed in the order of that list.
    """
    if (graph := functional_graph(layer)) is not None:
        nodes = ordered_nodes(graph.outputs)
        members = {id(x) for x in layer.layers}
        calls = dict.fromkeys(node.operation for node in nodes)
        children = [x for x in calls if id(x) in members]
    else:
        children = getattr(layer, "layers", [])
    if not children:
        return [layer] if layer.weights else []
    return [leaf for child in children for leaf in leaves(child)]


def shapes(layer: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight, by weight name."""
    return {weight.name: tuple(weight.shape) for weight in layer.weights}


def units(layer: Any) -> Iterator[Any]:
    """Yield each `ConvBN` and dense layer of a block, branch by branch."""
    for child in layer.layers:
        if isinstance(child, ConvBN) or not hasattr(child, "layers"):
            if child.weights:
                yield child
        else:
            yield from units(child)
