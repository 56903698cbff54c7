"""Convolution, batch normalization, activation."""

from inspect import signature
from numbers import Integral

import keras

from keras_inception_layers.registration import register

# What a block hands on to each of its convolutions, and the Keras module that
# reads and writes each of these arguments.
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


@register
class ConvBN(keras.layers.Layer):
    """2D convolution, then batch normalization, then an activation.

    The unit that every Inception block is made of. With batch normalization
    the convolution has no bias, since the normalization's shift takes its
    place; without it the convolution has one. Either way the `bias_*`
    arguments apply to that shift.

    Args:
        filters: integer, the number of output channels.
        kernel_size: integer or pair of integers, height and width.
        strides: integer or pair of integers. Defaults to `1`.
        padding: `"same"`, `"valid"`, or an integer: so many rows and columns
            of zeros on every side, as torch pads. A strided `"same"` pads
            the right and the bottom first. Defaults to `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        use_batch_norm: whether to normalize. Defaults to `True`.
        momentum: momentum of the moving statistics. Defaults to `0.99`.
        epsilon: added to the variance. Defaults to `1e-3`.
        scale: whether the normalization learns a scale, gamma. A following
            relu makes it redundant. Defaults to `False`.
        synchronized: whether the statistics of a batch are shared by all
            replicas (TensorFlow only). Defaults to `False`.
        activation: name, function or layer; `None` for none. Defaults to
            `"relu"`.
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
        The same order, with `filters` channels; height and width divided by
        `strides`, rounded up (`"same"`), or what a `"valid"` kernel leaves.

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
        if padding not in ("same", "valid") and (
            not isinstance(padding, Integral) or padding < 1
        ):
            raise ValueError(
                '`padding` must be "same", "valid" or an integer of at least '
                f"1. Received: padding={padding!r}"
            )
        if not 0 <= momentum <= 1:
            raise ValueError(
                "`momentum` must lie between 0 and 1. Received: "
                f"momentum={momentum!r}"
            )
        if not epsilon > 0:
            raise ValueError(
                "`epsilon` must be greater than 0. Received: "
                f"epsilon={epsilon!r}"
            )
        super().__init__(**kwargs)
        self.use_batch_norm = use_batch_norm
        self.momentum = momentum
        self.epsilon = epsilon
        self.scale = scale
        self.synchronized = synchronized
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
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
        self.batch_norm = None
        if use_batch_norm:
            self.batch_norm = keras.layers.BatchNormalization(
                axis=1 if self.data_format == "channels_first" else -1,
                momentum=momentum,
                epsilon=epsilon,
                scale=scale,
                beta_initializer=self.bias_initializer,
                beta_regularizer=self.bias_regularizer,
                beta_constraint=self.bias_constraint,
                synchronized=synchronized,
                name="batch_norm",
                **shared,
            )

    @property
    def layers(self):
        """The children, in the order in which they are applied."""
        steps = (self.pad, self.conv, self.batch_norm, self.activation)
        return [x for x in steps if isinstance(x, keras.layers.Layer)]

    def build(self, input_shape):
        """Build the children."""
        for layer in self.layers:
            if not layer.built:
                layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

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


def take_options(kwargs):
    """Move the `CONV_OPTIONS` out of `kwargs`, filled up with defaults."""
    parameters = signature(ConvBN).parameters
    return {
        name: kwargs.pop(name, parameters[name].default)
        for name in CONV_OPTIONS
    }


def fresh_options(options):
    """Return `options` with whatever holds a state made anew for one child.

    An activation that is a layer has weights. An unseeded Keras initializer
    draws its seed once, when it is made: two children that share the object
    start with identical kernels. (With a `SeedGenerator` it draws each time,
    and only as long as it is shared.)
    """
    fresh = dict(options)
    for name, value in options.items():
        if isinstance(value, keras.layers.Layer):
            fresh[name] = type(value).from_config(value.get_config())
        elif isinstance(value, keras.initializers.Initializer):
            seed = getattr(value, "seed", None)
            if not isinstance(seed, keras.random.SeedGenerator):
                fresh[name] = value.clone()
    return fresh


def serialize_options(options):
    """Return `options` in the form of a config."""
    return {
        name: module.serialize(module.get(options[name]))
        if module
        else options[name]
        for name, module in CONV_OPTIONS.items()
    }
