"""What every porting shares: tensors by name, checked before they are set."""

import keras

from keras_inception_layers.layers.conv_bn import ConvBN


def convolutions(layer):
    """Yield each `ConvBN` of a layer, branch by branch."""
    if isinstance(layer, ConvBN):
        yield layer
    else:
        for child in getattr(layer, "layers", ()):
            yield from convolutions(child)


def check_model(role, model):
    """Raise ValueError unless `model` is a Keras model."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`{role}` must be a Keras model. Received: {role}={model!r}"
        )


def assign_tensors(tensors, weights):
    """Set each weight to the tensor of its name, once all of them fit.

    Args:
        tensors: arrays by name, in Keras's order of axes.
        weights: the target's weights, by the same names.

    Raises:
        ValueError: if a tensor is missing, left over or of another shape,
            with its name. Nothing is set then.
    """
    for name, weight in weights.items():
        shape = tuple(weight.shape)
        if name not in tensors:
            raise ValueError(
                f'The source has no tensor "{name}". Expected one of shape '
                f"{shape}, for `{weight.path}` of `target`."
            )
        found = tuple(tensors[name].shape)
        if found != shape:
            raise ValueError(
                f'The tensor "{name}" does not fit `{weight.path}` of '
                f"`target`. Found the shape {found}, expected {shape}, in "
                "Keras's order of axes."
            )
    for name, tensor in tensors.items():
        if name not in weights:
            raise ValueError(
                f'The tensor "{name}" of the source, of shape '
                f"{tuple(tensor.shape)}, has no place in `target`. Build "
                "`target` with the source's `include_top` and `convention`."
            )
    for name, weight in weights.items():
        weight.assign(tensors[name])
