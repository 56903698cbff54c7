"""The weights of torchvision's and timm's networks, from plain arrays."""

from collections.abc import Mapping
from os import PathLike

import keras
import numpy as np

from keras_inception_layers.layers.auxiliary_classifier import (
    InceptionV3AuxiliaryClassifier,
)
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_v3_stages import (
    InceptionV3BlockA,
    InceptionV3BlockB,
    InceptionV3BlockC,
    InceptionV3BlockD,
    InceptionV3BlockE,
)
from keras_inception_layers.porting import timm

# A line a network: what torch calls each of our layers.
NETWORKS = {
    "InceptionV3": {
        "conv_0": "Conv2d_1a_3x3",
        "conv_1": "Conv2d_2a_3x3",
        "conv_2": "Conv2d_2b_3x3",
        "conv_3": "Conv2d_3b_1x1",
        "conv_4": "Conv2d_4a_3x3",
        "mixed_0": "Mixed_5b",
        "mixed_1": "Mixed_5c",
        "mixed_2": "Mixed_5d",
        "mixed_3": "Mixed_6a",
        "mixed_4": "Mixed_6b",
        "mixed_5": "Mixed_6c",
        "mixed_6": "Mixed_6d",
        "mixed_7": "Mixed_6e",
        "auxiliary": "AuxLogits",
        "mixed_8": "Mixed_7a",
        "mixed_9": "Mixed_7b",
        "mixed_10": "Mixed_7c",
        "predictions": "fc",
    },
}
# What torch calls the parts of a block, a line a branch.
PARTS: dict[type, tuple[str, ...]] = {
    InceptionV3BlockA: (
        "branch1x1",
        *(f"branch5x5_{i}" for i in (1, 2)),
        *(f"branch3x3dbl_{i}" for i in (1, 2, 3)),
        "branch_pool",
    ),
    InceptionV3BlockB: (
        "branch3x3",
        *(f"branch3x3dbl_{i}" for i in (1, 2, 3)),
    ),
    InceptionV3BlockC: (
        "branch1x1",
        *(f"branch7x7_{i}" for i in (1, 2, 3)),
        *(f"branch7x7dbl_{i}" for i in (1, 2, 3, 4, 5)),
        "branch_pool",
    ),
    InceptionV3BlockD: (
        *(f"branch3x3_{i}" for i in (1, 2)),
        *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)),
    ),
    InceptionV3BlockE: (
        "branch1x1",
        *(f"branch3x3_{i}" for i in ("1", "2a", "2b")),
        *(f"branch3x3dbl_{i}" for i in ("1", "2", "3a", "3b")),
        "branch_pool",
    ),
    InceptionV3AuxiliaryClassifier: ("conv0", "conv1", "fc"),
}
WEIGHTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# A count of training steps, which no output depends on.
IGNORED = "num_batches_tracked"


def port_torch_weights(state_dict, target):
    """Copy the weights of a network of torchvision or timm into ours.

    For torchvision's `inception_v3` and timm's `inception_v4` and
    `inception_resnet_v2`. torch itself is not needed. Everything is checked
    before the first weight is assigned.

    Args:
        state_dict: a mapping from torch's names to arrays, or the path of a
            `.safetensors` file, which is read with the safetensors library.
            The counters `num_batches_tracked` are ignored.
        target: an `InceptionV3` of `convention="torchvision"`, or an
            `InceptionV4` or `InceptionResNetV2` of `convention="timm"`, with
            the same channels, `classes`, `include_top` and `auxiliary`:
            torchvision's published
            weights hold a side head (`AuxLogits`), which `drop_auxiliary`
            drops afterwards.

    Returns:
        `target`.

    Raises:
        ValueError: if a tensor is missing, has no place or has the wrong
            shape, with its name. `target` is unchanged then.
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
    places = _places(target)
    values = {}
    for name, variable in places.items():
        if name not in tensors:
            raise ValueError(
                f'`state_dict` lacks "{name}" for `{variable.path}` of '
                f"`target`. Received {len(tensors)} tensors, expected "
                f"{len(places)}."
            )
        values[name] = _in_keras_order(tensors[name], variable)
        if values[name].shape != tuple(variable.shape):
            raise ValueError(
                f'"{name}" does not fit `{variable.path}` of `target`. In the '
                f"order of Keras its shape is {values[name].shape}, expected "
                f"{tuple(variable.shape)}."
            )
    for name in tensors:
        if name not in places:
            raise ValueError(
                f'"{name}" has no place in `target`. Expected only the '
                "tensors of what `target` holds: build it with "
                "the convention, include_top and auxiliary that `state_dict` "
                "has, or leave the tensor out."
            )
    for name, variable in places.items():
        variable.assign(values[name])
    return target


def _mapping(state_dict):
    if isinstance(state_dict, Mapping):
        return state_dict
    if isinstance(state_dict, (str, PathLike)):
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


def _places(target):
    """Return the target's variables by torch's names."""
    if not isinstance(target, keras.Model):
        raise ValueError(
            f"`target` must be a Keras model. Received: target={target!r}"
        )
    named = timm.modules(target)
    if named:
        return {
            place: variable
            for name, layer in named
            for place, variable in _variables(layer, name)
        }
    layers = {layer.name: layer for layer in target.layers if layer.weights}
    for names in NETWORKS.values():
        if set(layers) <= set(names):
            return {
                place: variable
                for name, layer in layers.items()
                for place, variable in _variables(layer, names[name])
            }
    raise ValueError(
        "`target` must be an InceptionV3, InceptionV4 or InceptionResNetV2. "
        f'Received the model "{target.name}" with the layers {list(layers)}'
    )


def _variables(layer, prefix):
    """Find each variable of a layer and its name in torch."""
    if isinstance(layer, ConvBN):
        parts = {"conv": layer.conv, "bn": layer.batch_norm}
    elif type(layer) in PARTS:
        parts = dict(zip(PARTS[type(layer)], _units(layer), strict=True))
    else:
        for variable in layer.weights:
            yield f"{prefix}.{WEIGHTS[variable.name]}", variable
        return
    for name, part in parts.items():
        if part is not None:
            yield from _variables(part, f"{prefix}.{name}")


def _units(layer):
    """Return the convolutions and dense layers of a block, in order."""
    units = []
    for child in layer.layers:
        if isinstance(child, ConvBN) or not hasattr(child, "layers"):
            units += [child] if child.weights else []
        else:
            units += _units(child)
    return units


def _in_keras_order(tensor, variable):
    """Return a tensor with a kernel's channels, in and out, at the end."""
    if variable.name == "kernel" and tensor.ndim > 1:
        return tensor.transpose(*range(2, tensor.ndim), 1, 0)
    return tensor
