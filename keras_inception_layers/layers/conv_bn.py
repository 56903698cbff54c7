"""Convolution, batch normalization, activation."""

from inspect import signature
from numbers import Integral
from types import MappingProxyType, SimpleNamespace

import keras

from keras_inception_layers.layers.composite import (
    Composite,
    build_chain,
    serialize_unbuilt,
)
from keras_inception_layers.registration import register

# The options that a block passes on to its convolutions, and the Keras module
# that serializes each of them.
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


def check_positive_integer(name, value):
    """Raise ValueError unless `value` is an integer of at least 1."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"`{name}` must be an integer of at least 1. Received: "
            f"{name}={value!r}"
        )
    return int(value)


def of_batch_norm(name, writable=False):
    """Return a property that reads an attribute of the batch normalization."""

    def read(layer):
        return getattr(layer.batch_norm or layer._unused, name)

    def write(layer, value):
        setattr(layer.batch_norm or layer._unused, name, value)

    return property(read, write if writable else None)


@register
class ConvBN(Composite):
    """2D convolution, then batch normalization, then an activation.

    The unit of every Inception block. With batch normalization the
    convolution has no bias, since the normalization's shift replaces it;
    without it, the convolution has one. In both cases the `bias_*` arguments
    apply to that shift.

    Args:
        filters: integer, the number of output channels.
        kernel_size: integer or pair of integers, height and width.
        strides: integer or pair of integers. Defaults to `1`.
        padding: `"same"`, `"valid"`, or an integer: the number of rows and
            columns of zeros on every side, as in torch. A strided `"same"` pads
            the right and the bottom first. Defaults to `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        use_batch_norm: whether to normalize. Defaults to `True`.
        momentum: momentum of the moving statistics. Defaults to `0.99`.
        epsilon: added to the variance. Defaults to `1e-3`.
        scale: whether the normalization learns a scale, gamma. It is
            redundant before a relu. Defaults to `False`.
        synchronized: whether the statistics of a batch are shared by all
            replicas, under TensorFlow. Under JAX they are always those of
            the global batch, under torch those of each process; this
            argument has no effect there. Defaults to `False`.
        activation: name, function or layer; `None` for none. A layer is
            copied from its config, with the dtype policy of this one.
            Defaults to `"relu"`.
        kernel_initializer: Defaults to `"glorot_uniform"`.
        bias_initializer: Defaults to `"zeros"`.
        kernel_regularizer: Defaults to `None`.
        bias_regularizer: Defaults to `None`.
        kernel_constraint: Defaults to `None`.
        bias_constraint: Defaults to `None`.
        **kwargs: the arguments of every Keras layer: `name`, `dtype`,
            `trainable`, `activity_regularizer`.

    Call arguments:
        inputs: images. Height and width may be unknown.
        training: whether batch statistics are used and the moving ones
            updated.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`.

    Output shape:
        The same order, with `filters` channels; height and width are divided
        by `strides` and rounded up (`"same"`), or smaller by the kernel
        (`"valid"`).

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> layer = ConvBN(8, 3, strides=2)
    >>> layer(keras.Input((32, 32, 3))).shape
    (None, 16, 16, 8)

    Reference:
        Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="same",
        data_format=None,
        use_batch_norm=True,
        momentum=0.99,
        epsilon=1e-3,
        scale=False,
        synchronized=False,
        activation="relu",
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        filters = check_positive_integer("filters", filters)
        if padding not in ("same", "valid"):
            padding = _check_padding(padding)
        if not 0 <= momentum <= 1:
            raise ValueError(
                "`momentum` must be between 0 and 1. Received: "
                f"momentum={momentum!r}"
            )
        if not epsilon > 0:
            raise ValueError(
                "`epsilon` must be greater than 0. Received: "
                f"epsilon={epsilon!r}"
            )
        super().__init__(**kwargs)
        self.use_batch_norm = use_batch_norm
        self.synchronized = bool(synchronized)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.activation = own_activation(activation, **shared)
        self.padding = padding
        self.pad = None
        if not isinstance(padding, str):
            self.pad = keras.layers.ZeroPadding2D(
                padding, data_format=data_format, name="pad", **shared
            )
        self.conv = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding="valid" if self.pad else padding,
            data_format=data_format,
            use_bias=not use_batch_norm,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            name="conv",
            **shared,
        )
        self.data_format = self.conv.data_format
        settings = {"momentum": momentum, "epsilon": epsilon, "scale": scale}
        self.batch_norm = None
        self._unused = None if use_batch_norm else SimpleNamespace(**settings)
        if use_batch_norm:
            self.batch_norm = keras.layers.BatchNormalization(
                axis=1 if self.data_format == "channels_first" else -1,
                **settings,
                beta_initializer=self.bias_initializer,
                beta_regularizer=self.bias_regularizer,
                beta_constraint=self.bias_constraint,
                synchronized=self.synchronized
                and keras.backend.backend() == "tensorflow",
                name="batch_norm",
                **shared,
            )

    momentum = of_batch_norm("momentum", writable=True)
    epsilon = of_batch_norm("epsilon", writable=True)
    scale = of_batch_norm("scale")

    @property
    def layers(self):
        """The children, in the order in which they are applied."""
        steps = (self.pad, self.conv, self.batch_norm, self.activation)
        return [x for x in steps if isinstance(x, keras.layers.Layer)]

    def build(self, input_shape):
        """Build the children."""
        build_chain(self.layers, input_shape)

    def call(self, inputs, training=None):
        """Apply convolution, normalization and activation."""
        x = self.pad(inputs) if self.pad else inputs
        x = self.conv(x)
        if self.batch_norm:
            x = self.batch_norm(x, training=training)
        return self.activation(x)

    def compute_output_shape(self, input_shape):
        """Return the shape of the convolution's output."""
        if self.pad:
            input_shape = self.pad.compute_output_shape(input_shape)
        return self.conv.compute_output_shape(input_shape)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.conv.filters,
            "kernel_size": self.conv.kernel_size,
            "strides": self.conv.strides,
            "padding": self.padding,
            **serialize_options({x: getattr(self, x) for x in CONV_OPTIONS}),
        }


def _check_padding(padding):
    if (
        not isinstance(padding, Integral)
        or isinstance(padding, bool)
        or padding < 1
    ):
        raise ValueError(
            '`padding` must be "same", "valid" or an integer of at least 1. '
            f"Received: padding={padding!r}"
        )
    return int(padding)


def own_activation(activation, dtype, trainable):
    """Return an activation; if it is a layer, a copy for one parent.

    A layer may have weights, and computes in the parent's dtype.

    Args:
        activation: name, function or layer, or None.
        dtype: the parent's dtype policy.
        trainable: whether the parent is trainable.
    """
    activation = keras.activations.get(activation)
    if not isinstance(activation, keras.layers.Layer):
        return activation
    config = activation.get_config()
    config["dtype"] = keras.dtype_policies.serialize(dtype)
    config["trainable"] = activation.trainable and trainable
    return type(activation).from_config(config)


def take_options(kwargs):
    """Remove the `CONV_OPTIONS` from `kwargs` and return them with defaults.

    They are in a read-only mapping, not in a dictionary: Keras would track a
    layer in a dictionary as a child of the layer that keeps it.
    """
    parameters = signature(ConvBN).parameters
    return MappingProxyType(
        {
            name: kwargs.pop(name, parameters[name].default)
            for name in CONV_OPTIONS
        }
    )


def fresh_options(options):
    """Return `options` with copies of the initializers, for one child.

    An unseeded Keras initializer chooses its seed once, when it is created:
    two children that share it would start with identical kernels. (With a
    `SeedGenerator` it draws a new value each time, as long as it is shared.)
    """
    fresh = dict(options)
    for name, value in options.items():
        if isinstance(value, keras.initializers.Initializer):
            seed = getattr(value, "seed", None)
            if not isinstance(seed, keras.random.SeedGenerator):
                fresh[name] = value.clone()
    return fresh


def serialize_options(options):
    """Return `options` as in a config."""
    config = dict(options)
    for name, module in CONV_OPTIONS.items():
        if isinstance(options[name], keras.layers.Layer):
            config[name] = serialize_unbuilt(options[name])
        elif module:
            config[name] = module.serialize(module.get(options[name]))
    return config
