"""Port the weights of torchvision's and timm's networks, from arrays."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_inception_layers.layers.auxiliary_classifier import (
    AuxiliaryClassifier,
)
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.porting import timm, torchvision
from keras_inception_layers.porting.leaves import check_model

WEIGHTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# The number of training steps, which no output depends on.
IGNORED = "num_batches_tracked"


class Destination(NamedTuple):
    """The variable that a tensor is copied to.

    Args:
        variable: a variable of the target.
        channels: the number of channels of the feature maps, if the variable
            is a dense kernel that reads them flattened; else None.
    """

    variable: keras.Variable
    channels: int | None = None


def port_torch_weights(state_dict, target):
    """Copy the weights of a network of torchvision or timm.

    For torchvision's `googlenet` and `inception_v3` and timm's `inception_v4`
    and `inception_resnet_v2`. torch itself is not needed. Everything is checked
    before the first weight is assigned.

    Args:
        state_dict: a mapping from torch's names to arrays, or the path of a
            `.safetensors` file, which is read with the safetensors library.
            The counters `num_batches_tracked` are ignored.
        target: a `GoogLeNet` or `InceptionV3` of `convention="torchvision"`,
            or an `InceptionV4` or `InceptionResNetV2` of `convention="timm"`,
            with the same channels, `classes`, `include_top` and `auxiliary`:
            torchvision's published weights contain side heads (`aux1` and
            `aux2`, `AuxLogits`), which `drop_auxiliary` drops afterwards.

    Returns:
        `target`.

    Raises:
        ValueError: if a tensor is missing, unused or has the wrong shape,
            with its name. `target` is unchanged then.
            Also if a file is not a `.safetensors` file.
        ImportError: if a file is given and safetensors is not installed.

    Example:

    >>> target = InceptionV3(convention="torchvision", input_shape=(75, 75, 3))
    >>> port_torch_weights({}, target)
    Traceback (most recent call last):
    ValueError: `state_dict` lacks "Conv2d_1a_3x3.conv.weight" ...
    """
    tensors = {
        name: np.asarray(tensor)
        for name, tensor in _mapping(state_dict).items()
        if not name.endswith(IGNORED)
    }
    destinations = _destinations(target)
    values = {}
    for name, destination in destinations.items():
        path, expected = (
            destination.variable.path,
            tuple(destination.variable.shape),
        )
        if name not in tensors:
            raise ValueError(
                f'`state_dict` lacks "{name}" for `{path}` of `target`. '
                f"Received {len(tensors)} tensors, expected "
                f"{len(destinations)}."
            )
        values[name] = _in_keras_order(tensors[name], destination)
        if values[name].shape != expected:
            raise ValueError(
                f'"{name}" does not fit `{path}` of `target`. In the order of '
                f"Keras its shape is {values[name].shape}, expected "
                f"{expected}. Build `target` with the convention, channels "
                "and classes that `state_dict` has."
            )
    for name in tensors:
        if name not in destinations:
            raise ValueError(
                f'"{name}" has no counterpart in `target`. Expected only the '
                "tensors of the layers of `target`: build it with "
                "the convention, include_top and auxiliary that `state_dict` "
                "has, or leave the tensor out."
            )
    for name, destination in destinations.items():
        destination.variable.assign(values[name])
    return target


def _mapping(state_dict):
    if isinstance(state_dict, Mapping):
        return state_dict
    if isinstance(state_dict, (str, PathLike)):
        if Path(state_dict).suffix != ".safetensors":
            raise ValueError(
                "A file must be a `.safetensors` file. Received: state_dict="
                f"{str(state_dict)!r}. Convert it, or pass "
                "torch.load(file, weights_only=True)."
            )
        try:
            from safetensors.numpy import load_file
        except ImportError as error:
            raise ImportError(
                "Reading a `.safetensors` file needs the safetensors "
                "library: pip install safetensors"
            ) from error
        return load_file(state_dict)
    raise ValueError(
        "`state_dict` must be a mapping of names to arrays or the path of a "
        f"`.safetensors` file. Received: state_dict={state_dict!r}"
    )


def _destinations(target):
    """Return the destinations of the target's variables by torch's names."""
    check_model("target", target)
    modules = torchvision.modules(target) or timm.modules(target)
    if modules is None:
        raise ValueError(
            "`target` must be a GoogLeNet, InceptionV3, InceptionV4 or "
            f'InceptionResNetV2. Received the model "{target.name}" with the '
            f"layers {[x.name for x in target.layers if x.weights]}"
        )
    flattened = {
        id(head.dense): head.conv.conv.filters
        for head in target.layers
        if isinstance(head, AuxiliaryClassifier)
    }
    return {
        f"{name}.{WEIGHTS[variable.name]}": Destination(
            variable, flattened.get(id(leaf))
        )
        for module, layer in modules
        for name, leaf in _leaves(module, layer)
        for variable in leaf.weights
    }


def _leaves(name, layer):
    """Return the parts of a module that have weights, with their names."""
    if not isinstance(layer, ConvBN):
        return [(name, layer)]
    parts = {"conv": layer.conv, "bn": layer.batch_norm}
    return [(f"{name}.{key}", part) for key, part in parts.items() if part]


def _in_keras_order(tensor, destination):
    """Return a tensor with the input and output channels as the last axes.

    torch flattens feature maps channel by channel, Keras pixel by pixel.
    """
    if destination.variable.name != "kernel" or tensor.ndim < 2:
        return tensor
    channels = destination.channels
    if channels and tensor.shape[1] % channels == 0:
        tensor = tensor.reshape(len(tensor), channels, -1)
    tensor = tensor.transpose(*range(2, tensor.ndim), 1, 0)
    return tensor.reshape(-1, tensor.shape[-1]) if channels else tensor
