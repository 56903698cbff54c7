"""Find the layers of a network that own its weights, in graph order."""

import keras

from keras_inception_layers.layers.conv_bn import ConvBN


def check_model(role, model):
    """Raise ValueError unless the argument `role` is a Keras model."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`{role}` must be a Keras model. Received: {role}={model!r}"
        )


def leaves(layer):
    """Return the innermost layers that have weights, in order.

    A Functional model is traversed from input to output, one branch after the
    other in the order in which they are concatenated. Any other layer with a
    `layers` attribute is traversed in the order of that list.
    """
    if isinstance(layer, keras.Model) and hasattr(layer, "operations"):
        children = topological_order(layer)
    else:
        children = getattr(layer, "layers", [])
    if not children:
        return [layer] if layer.weights else []
    return [leaf for child in children for leaf in leaves(child)]


def topological_order(model):
    """Return the layers of a Functional model, each after its inputs."""
    members = {id(layer) for layer in model.layers}
    order = {}
    stack = list(reversed(model.outputs))
    while stack:
        operation, node, _ = stack[-1]._keras_history
        inputs = operation._inbound_nodes[node].input_tensors
        missing = [
            tensor
            for tensor in inputs
            if id(tensor._keras_history.operation) not in order
        ]
        if missing:
            stack.append(missing[0])
        else:
            order[id(operation)] = operation
            stack.pop()
    return [layer for key, layer in order.items() if key in members]


def shapes(layer):
    """Return the shape of each weight, by weight name."""
    return {weight.name: tuple(weight.shape) for weight in layer.weights}


def convolutions(layer):
    """Yield each `ConvBN` of a layer, branch by branch."""
    if isinstance(layer, ConvBN):
        yield layer
    else:
        for child in getattr(layer, "layers", ()):
            yield from convolutions(child)
