"""Load the weights of the networks of torchvision and timm.

`torchvision.py` and `timm.py` contain their module names. torch itself is not
needed.
"""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_inception_layers.graph import KerasModel, check_model
from keras_inception_layers.layers.auxiliary_classifier import (
    AuxiliaryClassifier,
)
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.porting import timm, torchvision

WEIGHTS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# A number of training steps, which does not affect the outputs.
IGNORED = "num_batches_tracked"
# How many tensors without a counterpart an error names.
NAMED = 8


def port_torch_weights(
    state_dict: Mapping[str, Any] | str | PathLike[str], target: KerasModel
) -> keras.Model:
    """Copy the weights of a network of torchvision or timm into `target`.

    It supports torchvision's `googlenet` and `inception_v3`, and timm's
    `inception_v4` and `inception_resnet_v2`. torch itself is not needed.
    Everything is checked before the first weight is assigned.

    Args:
        state_dict: a mapping from torch's names to arrays, or the path of a
            `.safetensors` file, which is read with the safetensors library.
            The counters `num_batches_tracked` are ignored. So are the side
            heads in torchvision's weights (`aux1` and `aux2`, `AuxLogits`) if
            `target` has none.
        target: a `GoogLeNet` or `InceptionV3` with
            `convention="torchvision"`, or an `InceptionV4` or
            `InceptionResNetV2` with `convention="timm"`, and with the same
            channels, `classes` and `include_top`.

    Returns:
        `target`.

    Raises:
        ValueError: if a tensor is missing, unexpected or of the wrong shape
            (the message names it, and `target` is not changed), or if a file
            is not a `.safetensors` file.
        ImportError: if `state_dict` is a file and safetensors is not
            installed.

    Example:

    >>> target = InceptionV3(convention="torchvision", input_shape=(75, 75, 3))
    >>> port_torch_weights({}, target)
    Traceback (most recent call last):
    ValueError: `state_dict` lacks "Conv2d_1a_3x3.conv.weight" ...
    """
    mapping = _mapping(state_dict)
    destinations = _destinations(target)
    dropped = torchvision.dropped_modules(target)
    tensors = {
        name: np.asarray(tensor)
        for name, tensor in mapping.items()
        if not name.endswith(IGNORED) and name.split(".")[0] not in dropped
    }
    values = {}
    for name, (variable, channels) in destinations.items():
        path, expected = variable.path, tuple(variable.shape)
        if name not in tensors:
            raise ValueError(
                f'`state_dict` lacks "{name}" for `{path}` of `target`. '
                f"Received {len(tensors)} tensors, expected "
                f"{len(destinations)}."
            )
        values[name] = tensors[name]
        if variable.name == "kernel":
            values[name] = _to_keras_order(tensors[name], channels)
        if values[name].shape != expected:
            raise ValueError(
                f'"{name}" does not fit `{path}` of `target`. In the order of '
                f"Keras its shape is {values[name].shape}, expected "
                f"{expected}. Build `target` with the convention, channels "
                "and classes of `state_dict`."
            )
    others = [f'"{name}"' for name in tensors if name not in destinations]
    if others:
        more = f" and {len(others) - NAMED} more" * (len(others) > NAMED)
        raise ValueError(
            f"Tensors of `state_dict` without a counterpart in `target`: "
            f"{', '.join(others[:NAMED])}{more}. Build `target` with the "
            "convention, include_top and auxiliary of `state_dict`, or leave "
            "them out."
        )
    for name, (variable, _) in destinations.items():
        variable.assign(values[name])
    return target


def _mapping(state_dict: object) -> Mapping[str, Any]:
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


def _destinations(target: Any) -> dict[str, tuple[Any, int | None]]:
    """Return the target's variables by torch's names.

    Beside the kernel of a dense layer that reads flattened feature maps is
    their number of channels.
    """
    check_model("target", target)
    modules = torchvision.modules(target) or timm.modules(target)
    if modules is None:
        raise ValueError(
            "`target` must be a GoogLeNet, InceptionV3, InceptionV4 or "
            f'InceptionResNetV2. Received the model "{target.name}" with the '
            f"layers {[x.name for x in target.layers if x.weights]}"
        )
    channels = {
        id(head.dense): head.conv.conv.filters
        for head in target.layers
        if isinstance(head, AuxiliaryClassifier)
    }
    return {
        f"{name}.{WEIGHTS[variable.name]}": (variable, channels.get(id(leaf)))
        for module, layer in modules
        for name, leaf in _leaves(module, layer)
        for variable in leaf.weights
    }


def _leaves(name: str, layer: Any) -> list[tuple[str, Any]]:
    """Return pairs of a name and a layer that owns weights."""
    if not isinstance(layer, ConvBN):
        return [(name, layer)]
    parts = {"conv": layer.conv, "bn": layer.batch_norm}
    return [(f"{name}.{key}", part) for key, part in parts.items() if part]


def _to_keras_order(tensor: np.ndarray, channels: int | None) -> np.ndarray:
    """Move the input and output channels of a kernel to the end.

    torch flattens feature maps channel by channel, Keras pixel by pixel.
    """
    if tensor.ndim < 2:
        return tensor
    if channels and tensor.shape[1] % channels == 0:
        tensor = tensor.reshape(len(tensor), channels, -1)
    tensor = tensor.transpose(*range(2, tensor.ndim), 1, 0)
    return tensor.reshape(-1, tensor.shape[-1]) if channels else tensor
