"""Port VGG16's blocks to the hybrid, as a warm start."""

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
# The class of each of them, and its weights in order.
ROLES = {
    "source": (keras.layers.Conv2D, ("kernel", "bias")),
    "hybrid": (ConvBN, ("kernel", "beta", "moving_mean", "moving_variance")),
}


def port_vgg16_weights(source, hybrid):
    """Copy VGG16's blocks 1, 2 and 4 to the hybrid, as a warm start.

    At inference each of their layers then computes what it computes in VGG16:
    a convolution's bias becomes the shift of the batch normalization, whose
    moving statistics are set so that it changes nothing else. In training, the
    batch is normalized as always. Blocks 3 and 5, the side heads and the top
    of the hybrid are not changed. Everything is checked before the first
    weight is assigned.

    Args:
        source: a `VGG16` or a `keras.applications.VGG16`, with or without
            its top.
        hybrid: a `VGG16Inception` with as many channels, or with one: then the
            first kernel is summed over the channels of `source`, which
            computes the same for a gray image repeated in each channel.

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
