"""What torchvision made of the seeded weights, as `data` keeps it."""

import json
from pathlib import Path

import numpy as np

from keras_inception_layers import ConvBN
from tests.helpers.seeded import seeded_images, seeded_state

DATA = Path(__file__).parent / "data"


def load(network):
    """Return the tensors of a whole network, and its outputs by name."""
    with np.load(DATA / f"torchvision_{network}.npz") as data:
        outputs = {name: data[name] for name in data.files}
    tensors = json.loads(str(outputs.pop("tensors")))
    outputs["predictions"] = outputs.pop("logits")
    return seeded_state(tensors, tensors.values()), outputs


def images(count, height, width):
    """Return the images that these are the outputs of, channels last."""
    return np.moveaxis(seeded_images((count, 3, height, width)), 1, -1)


def copy_without_scale(source, target):
    """Carry weights into a network whose batch norm has no scale.

    Each scale is multiplied into its kernel, and a kernel that is larger in
    `target` gets a border of zeros: the function stays as it is.
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
