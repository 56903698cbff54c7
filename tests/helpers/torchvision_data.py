"""The outputs of torchvision's networks that make_torchvision.py wrote."""

import json

import numpy as np

from keras_inception_layers import ConvBN
from tests.helpers.seeded import DATA, seeded_images, seeded_state


def load(network):
    """Return the seeded state dict of a network and its outputs by name."""
    with np.load(DATA / f"torchvision_{network}.npz") as data:
        outputs = {name: data[name] for name in data.files}
    tensors = json.loads(str(outputs.pop("tensors")))
    outputs["predictions"] = outputs.pop("logits")
    return seeded_state(tensors, tensors.values()), outputs


def images(count, height, width):
    """Return the images that these outputs belong to, channels last."""
    return np.moveaxis(seeded_images((count, 3, height, width)), 1, -1)


def copy_without_scale(source, target):
    """Copy weights into a network without a scale in batch normalization.

    Each scale is multiplied into its kernel, and a kernel that is larger in
    `target` is padded with zeros, so that each unit computes the same function.
    """
    units = {layer.path: layer for layer in source._flatten_layers()}
    for unit in target._flatten_layers():
        if isinstance(unit, ConvBN):
            kernel, gamma, beta, mean, variance = units[unit.path].get_weights()
            border = [
                ((ours - theirs) // 2,) * 2
                for ours, theirs in zip(
                    unit.conv.kernel.shape, kernel.shape, strict=True
                )
            ]
            kernel = np.pad(kernel * gamma, border)
            unit.set_weights([kernel, beta, mean * gamma, variance])
    target.get_layer("predictions").set_weights(
        source.get_layer("predictions").get_weights()
    )
