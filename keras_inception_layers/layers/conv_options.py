"""The options that a block passes on to each of its convolutions.

`ConvOptions` declares them for type checkers and editors; `CONV_OPTIONS` lists
their names, with the Keras module that serializes each.
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, TypedDict

import keras

from keras_inception_layers.layers.composite import serialize_unbuilt


class LayerOptions(TypedDict, total=False):
    """The arguments of every Keras layer."""

    name: str | None
    dtype: Any
    trainable: bool
    activity_regularizer: Any


class KernelOptions(TypedDict, total=False):
    """The arguments of every layer with a kernel and a bias."""

    kernel_initializer: Any
    bias_initializer: Any
    kernel_regularizer: Any
    bias_regularizer: Any
    kernel_constraint: Any
    bias_constraint: Any


class ConvOptions(LayerOptions, KernelOptions, total=False):
    """The arguments of a block that apply to each of its convolutions."""

    data_format: str | None
    use_batch_norm: bool
    momentum: float
    epsilon: float
    scale: bool
    synchronized: bool
    activation: Any
    use_bias: bool | None


def get_activation(activation: Any) -> Any:
    """Return a function or layer; `False` means no activation, as `None`."""
    return keras.activations.get(None if activation is False else activation)


# The `ConvBN` arguments that a block passes on to each of its convolutions, and
# the Keras module that serializes each of them.
CONV_OPTIONS: dict[str, Any] = {
    "data_format": None,
    "use_batch_norm": None,
    "momentum": None,
    "epsilon": None,
    "scale": None,
    "synchronized": None,
    "activation": SimpleNamespace(
        get=get_activation, serialize=keras.activations.serialize
    ),
    "use_bias": None,
    "kernel_initializer": keras.initializers,
    "bias_initializer": keras.initializers,
    "kernel_regularizer": keras.regularizers,
    "bias_regularizer": keras.regularizers,
    "kernel_constraint": keras.constraints,
    "bias_constraint": keras.constraints,
}


def copy_activation(activation: Any, dtype: Any) -> Any:
    """Return an activation function, or a copy of an activation layer.

    A layer is copied because it may have weights, and because it must compute
    in the dtype policy of its parent.
    """
    activation = get_activation(activation)
    if not isinstance(activation, keras.layers.Layer):
        return activation
    config = activation.get_config()
    config["dtype"] = keras.dtype_policies.serialize(dtype)
    return type(activation).from_config(config)


def kernel_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that apply to any layer with a kernel and a bias."""
    known = KernelOptions.__optional_keys__
    return {name: value for name, value in options.items() if name in known}


def clone_initializers(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` with cloned initializers, for one child.

    An unseeded Keras initializer draws its seed when it is created: two
    children that share the object would start with identical kernels. An
    initializer with a `SeedGenerator` is not cloned, because it draws a new
    seed for each kernel only as long as it is shared.
    """
    cloned = dict(options)
    for name, value in options.items():
        if isinstance(value, keras.initializers.Initializer):
            seed = getattr(value, "seed", None)
            if not isinstance(seed, keras.random.SeedGenerator):
                cloned[name] = value.clone()
    return cloned


def serialize_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` in the form of a config."""
    config = dict(options)
    for name, module in CONV_OPTIONS.items():
        if isinstance(options[name], keras.layers.Layer):
            config[name] = serialize_unbuilt(options[name])
        elif module:
            config[name] = module.serialize(module.get(options[name]))
    return config
