"""Initialize the hybrid's plain blocks with the weights of VGG16."""

from typing import Any

import keras
import numpy as np

from keras_inception_layers.graph import KerasModel, check_model
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.porting.leaves import shapes

# The convolutions that both networks have: blocks 1, 2 and 4.
LAYERS = [
    f"block{block}_conv{number}"
    for block, depth in ((1, 2), (2, 2), (4, 3))
    for number in range(1, depth + 1)
]
# Their class in each network, and the order of their weights.
ROLES = {
    "source": (keras.layers.Conv2D, ("kernel", "bias")),
    "hybrid": (ConvBN, ("kernel", "beta", "moving_mean", "moving_variance")),
}


def port_vgg16_weights(source: KerasModel, hybrid: KerasModel) -> keras.Model:
    """Copy blocks 1, 2 and 4 of VGG16 into the hybrid, as a warm start.

    In inference, each of their layers then computes what it does in VGG16: the
    bias of the convolution becomes the shift of the batch normalization, whose
    moving statistics are set so that it does nothing else. Training normalizes
    with the statistics of the batch, as always. Blocks 3 and 5, the side heads
    and the top of the hybrid are not changed. Everything is checked before the
    first weight is assigned.

    Args:
        source: a `VGG16` or a `keras.applications.VGG16`, with or without
            its top.
        hybrid: a `VGG16Inception` with as many channels, or with one. With
            one, the first kernel is summed over the channels of `source`,
            which is equivalent to repeating a gray image in each channel.

    Returns:
        `hybrid`.

    Raises:
        ValueError: if the models do not match. The message names the first
            layer that differs, with what was found and what was expected.
            `hybrid` is not changed.

    Example:

    >>> source = VGG16(include_top=False, input_shape=(32, 32, 3))
    >>> hybrid = VGG16Inception(include_top=False, input_shape=(32, 32, 1))
    >>> port_vgg16_weights(source, hybrid).count_params()
    8442064
    """
    check_model("source", source)
    check_model("hybrid", hybrid)
    values = []
    for name in LAYERS:
        kernel, bias = _layer("source", source, name).get_weights()
        layer = _layer("hybrid", hybrid, name)
        expected = tuple(layer.conv.kernel.shape)
        if expected[2] == 1:
            kernel = kernel.sum(axis=2, keepdims=True)
        if kernel.shape != expected:
            raise ValueError(
                f'The kernel of "{name}" in `source` has the shape '
                f"{kernel.shape}, expected {expected} as in `hybrid`. Build "
                "`hybrid` with as many channels as `source`, or with one."
            )
        mean = np.zeros_like(bias)
        variance = np.full_like(bias, 1 - layer.epsilon)
        values.append((layer, [kernel, bias, mean, variance]))
    for layer, weights in values:
        layer.set_weights(weights)
    return hybrid


def _layer(role: str, model: Any, name: str) -> Any:
    """Return the layer of that name, after a check of class and weights."""
    expected, weights = ROLES[role]
    found = {layer.name: layer for layer in model.layers}.get(name)
    if not isinstance(found, expected) or tuple(shapes(found)) != weights:
        received = "none"
        if found is not None:
            received = f"a {type(found).__name__} with {shapes(found)}"
        raise ValueError(
            f'`{role}` must have a {expected.__name__} "{name}" with the '
            f'weights {", ".join(weights)}. Received the model "{model.name}" '
            f"with {received}."
        )
    return found
