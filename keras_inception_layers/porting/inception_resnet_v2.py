"""The weights of `keras.applications.InceptionResNetV2`, for our own."""

import re

import keras

from keras_inception_layers.layers.residual_block import ResidualBlock
from keras_inception_layers.porting.tensors import (
    assign_tensors,
    check_model,
    convolutions,
)


def port_keras_inception_resnet_v2(source, target):
    """Copy the weights of `keras.applications.InceptionResNetV2`.

    Everything is checked before the first weight is copied.

    Args:
        source: what `keras.applications.InceptionResNetV2` returns.
        target: an `InceptionResNetV2` with the same `include_top`,
            `classes` and number of channels, in the convention `"keras"` or
            `"paper"`.

    Returns:
        `target`.

    Raises:
        ValueError: if a tensor is missing, left over or of another shape,
            with its name. `target` is unchanged then.

    Example:

    >>> options = {"include_top": False, "input_shape": (75, 75, 3)}
    >>> source = keras.applications.InceptionResNetV2(weights=None, **options)
    >>> target = InceptionResNetV2(**options)
    >>> port_keras_inception_resnet_v2(source, target).count_params()
    54336736
    """
    check_model("source", source)
    check_model("target", target)
    assign_tensors(_source_tensors(source), _target_weights(target))
    return target


def _source_tensors(source):
    """Return the weights by name, with Keras's own numbers from 0 on."""
    named = {layer.name: layer for layer in source.layers}
    for kind in ("conv2d", "batch_normalization"):
        numbered = {}
        for name in list(named):
            if match := re.fullmatch(rf"{kind}(?:_(\d+))?", name):
                numbered[int(match[1] or 0)] = named.pop(name)
        for place, number in enumerate(sorted(numbered)):
            named[f"{kind}_{place}"] = numbered[number]
    return _weights(named)


def _target_weights(target):
    """Return the weights by the name that they have in the source."""
    named = {}
    place = 0
    for layer in target.layers:
        if isinstance(layer, keras.layers.Dense):
            named[layer.name] = layer
        for conv in convolutions(layer):
            if conv.batch_norm is None and isinstance(layer, ResidualBlock):
                named[f"{layer.name}_conv"] = conv.conv
            elif layer.name == "conv_7b":
                named["conv_7b"] = conv.conv
                named["conv_7b_bn"] = conv.batch_norm
            else:
                named[f"conv2d_{place}"] = conv.conv
                named[f"batch_normalization_{place}"] = conv.batch_norm
                place += 1
    return _weights(named)


def _weights(named):
    return {
        f"{name}/{weight.name}": weight
        for name, layer in named.items()
        if layer is not None
        for weight in layer.weights
    }
