"""The options that a block passes on to each of its convolutions.

`ConvOptions` declares them for type checkers and editors; `CONV_OPTIONS` lists
their names, with the Keras module that serializes each.
"""

from typing import Any, TypedDict

import keras

from keras_inception_layers.layers.composite import serialize_unbuilt


class LayerOptions(TypedDict, total=False):
    """The arguments of every Keras layer."""

    name: str | None
    dtype: Any
    trainable: bool
    activity_regularizer: Any


class ConvOptions(LayerOptions, total=False):
    """The arguments of a block that apply to each of its convolutions."""

    data_format: str | None
    use_batch_norm: bool
    momentum: float
    epsilon: float
    scale: bool
    synchronized: bool
    activation: Any
    kernel_initializer: Any
    bias_initializer: Any
    kernel_regularizer: Any
    bias_regularizer: Any
    kernel_constraint: Any
    bias_constraint: Any


# The `ConvBN` arguments that a block passes on to each of its convolutions, and
# the Keras module that serializes each of them.
CONV_OPTIONS = {
    "data_format": None,
    "use_batch_norm": None,
    "momentum": None,
    "epsilon": None,
    "scale": None,
    "synchronized": None,
    "activation": keras.activations,
    "kernel_initializer": keras.initializers,
    "bias_initializer": keras.initializers,
    "kernel_regularizer": keras.regularizers,
    "bias_regularizer": keras.regularizers,
    "kernel_constraint": keras.constraints,
    "bias_constraint": keras.constraints,
}


def copy_activation(activation, dtype):
    """Return an activation function, or a copy of an activation layer.

    A layer is copied because it may have weights, and because it must compute
    in the dtype of its parent.

    Args:
        activation: name, function, layer or None.
        dtype: the parent's dtype policy.
    """
    activation = keras.activations.get(activation)
    if not isinstance(activation, keras.layers.Layer):
        return activation
    config = activation.get_config()
    config["dtype"] = keras.dtype_policies.serialize(dtype)
    return type(activation).from_config(config)


def clone_initializers(options):
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


def serialize_options(options):
    """Return `options` in the form of a config."""
    config = dict(options)
    for name, module in CONV_OPTIONS.items():
        if isinstance(options[name], keras.layers.Layer):
            config[name] = serialize_unbuilt(options[name])
        elif module:
            config[name] = module.serialize(module.get(options[name]))
    return config
