"""A warm start: VGG16's plain blocks for the hybrid."""

import keras
import numpy as np

from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.porting.leaves import check_model, shapes

# The convolutions that both networks have: blocks 1, 2 and 4.
LAYERS = (
    "block1_conv1",
    "block1_conv2",
    "block2_conv1",
    "block2_conv2",
    "block4_conv1",
    "block4_conv2",
    "block4_conv3",
)
# What each of them is, and its weights in order.
ROLES = {
    "source": (keras.layers.Conv2D, ("kernel", "bias")),
    "hybrid": (ConvBN, ("kernel", "beta", "moving_mean", "moving_variance")),
}


def port_vgg16_weights(source, hybrid):
    """Carry VGG16's blocks 1, 2 and 4 into the hybrid, as a warm start.

    In inference each of their layers is then the function it was: a
    convolution's bias becomes the shift of the batch normalization, whose
    moving statistics are set to leave everything else as it is. Training
    normalizes by the batch, as always. Blocks 3 and 5, the side heads and the
    top of the hybrid stay as they are. Everything is checked before the first
    weight is assigned.

    Args:
        source: a `VGG16` or a `keras.applications.VGG16`, with or without
            its top.
        hybrid: a `VGG16Inception` with as many channels, or with one: the
            first kernel is then summed over the channels of `source`, which
            is the same function of a gray image repeated in each channel.

    Returns:
        `hybrid`.

    Raises:
        ValueError: if the two do not fit, with the first layer that does
            not, what was found there and what was expected. `hybrid` is
            unchanged then.

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
                f'"{name}" of `source` has the kernel {kernel.shape}, expected '
                f"{expected}, as in `hybrid`. Build `hybrid` with as many "
                "channels as `source` has, or with one."
            )
        mean = np.zeros_like(bias)
        variance = np.full_like(bias, 1 - layer.epsilon)
        values.append((layer, [kernel, bias, mean, variance]))
    for layer, own in values:
        layer.set_weights(own)
    return hybrid


def _layer(role, model, name):
    """Return the layer of that name, with the weights that `role` has."""
    kind, weights = ROLES[role]
    found = {layer.name: layer for layer in model.layers}.get(name)
    if not isinstance(found, kind) or tuple(shapes(found)) != weights:
        text = "none"
        if found is not None:
            text = f"a {type(found).__name__} with {shapes(found)}"
        raise ValueError(
            f'`{role}` must have a {kind.__name__} "{name}" with the weights '
            f'{", ".join(weights)}. Received the model "{model.name}" with '
            f"{text}."
        )
    return found
