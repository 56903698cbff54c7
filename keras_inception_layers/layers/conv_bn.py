"""The unit of every Inception block: convolution, batch norm, activation."""

from collections.abc import Mapping, Sequence
from inspect import signature
from numbers import Integral
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal, Unpack

import keras

from keras_inception_layers.layers.composite import Composite, build_chain
from keras_inception_layers.layers.conv_options import (
    CONV_OPTIONS,
    LayerOptions,
    copy_activation,
    serialize_options,
)
from keras_inception_layers.registration import register


def check_positive_integer(name: str, value: object, others: str = "") -> int:
    """Return `value` as an int, or raise a ValueError.

    The message also names the `others` that the argument `name` may be.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"`{name}` must be {others}an integer of at least 1. Received: "
            f"{name}={value!r}"
        )
    return int(value)


def batch_norm_property(name: str, writable: bool = False) -> property:
    """Return a property that forwards to a layer's batch normalization.

    A `ConvBN` without batch normalization keeps the values for its config.
    """

    def read(layer: "ConvBN") -> Any:
        return getattr(layer.batch_norm or layer._unused_settings, name)

    def write(layer: "ConvBN", value: Any) -> None:
        setattr(layer.batch_norm or layer._unused_settings, name, value)

    return property(read, write if writable else None)


@register
class ConvBN(Composite):
    """2D convolution, then batch normalization, then an activation.

    The unit that every Inception block is made of. With batch normalization
    the convolution has no bias, because the shift (beta) of the normalization
    takes its place. The `bias_*` arguments apply to both.

    Args:
        filters: integer, the number of output channels.
        kernel_size: integer or pair of integers, height and width in pixels.
        strides: integer or pair of integers. Defaults to `1`.
        padding: `"same"`, `"valid"`, or an integer, the number of rows and
            columns of zeros on every side, as in torch. Where `"same"` needs
            an odd number of rows or columns, it adds the extra one at the
            bottom or on the right. Defaults to `"same"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        use_batch_norm: whether to normalize. Defaults to `True`.
        momentum: momentum of the moving statistics. Defaults to `0.99`.
        epsilon: added to the variance. Defaults to `1e-3`.
        scale: whether the normalization learns a scale (gamma). It is
            redundant if a relu and another convolution follow, whose kernel
            can contain it. Defaults to `False`.
        synchronized: under TensorFlow, whether all replicas share the
            statistics of a batch. It has no effect under JAX, where they are
            always those of the global batch, and under torch, where they are
            those of each process. Defaults to `False`.
        activation: name, function or layer, or `None` or `False` for no
            activation. A layer is copied from its config, with the dtype
            policy of this layer. Defaults to `"relu"`.
        use_bias: whether the convolution has a bias. `None` means that it has
            one if there is no batch normalization. Defaults to `None`.
        kernel_initializer: initializer of the kernel. Defaults to
            `"glorot_uniform"`.
        bias_initializer: initializer of beta or the bias. Defaults to
            `"zeros"`.
        kernel_regularizer: regularizer of the kernel. Defaults to `None`.
        bias_regularizer: regularizer of beta or the bias. Defaults to `None`.
        kernel_constraint: constraint of the kernel. Defaults to `None`.
        bias_constraint: constraint of beta or the bias. Defaults to `None`.
        **kwargs: the arguments of every Keras layer: `name`, `dtype`,
            `trainable`, `activity_regularizer`.

    Call arguments:
        inputs: images or feature maps. Height and width may be unknown.
        training: whether to normalize with the statistics of the batch and
            update the moving statistics.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`.

    Output shape:
        The same order of axes, with `filters` channels. Height and width are
        divided by `strides` and rounded up with `"same"`; with `"valid"` they
        are those of a convolution without padding.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> layer = ConvBN(8, 3, strides=2)
    >>> layer(keras.Input((32, 32, 3))).shape
    (None, 16, 16, 8)

    Reference:
        Ioffe and Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Literal["same", "valid"] | int = "same",
        data_format: str | None = None,
        use_batch_norm: bool = True,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        scale: bool = False,
        synchronized: bool = False,
        activation: Any = "relu",
        use_bias: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        filters = check_positive_integer("filters", filters)
        if padding not in ("same", "valid"):
            padding = check_positive_integer(
                "padding", padding, '"same", "valid" or '
            )
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
        self.use_bias = None if use_bias is None else bool(use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        shared = {"dtype": self.dtype_policy}
        self.activation = self.adopt(copy_activation(activation, **shared))
        self.padding = padding
        self.pad = None
        if not isinstance(padding, str):
            self.pad = self.adopt(
                keras.layers.ZeroPadding2D(
                    padding, data_format=data_format, name="pad", **shared
                )
            )
        conv = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding="valid" if self.pad else padding,
            data_format=data_format,
            use_bias=(
                not use_batch_norm if use_bias is None else self.use_bias
            ),
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            kernel_constraint=self.kernel_constraint,
            bias_constraint=self.bias_constraint,
            name="conv",
            **shared,
        )
        self.conv = self.adopt(conv)
        self.data_format = self.conv.data_format
        settings = {"momentum": momentum, "epsilon": epsilon, "scale": scale}
        self.batch_norm = None
        self._unused_settings = (
            None if use_batch_norm else SimpleNamespace(**settings)
        )
        if use_batch_norm:
            batch_norm = keras.layers.BatchNormalization(
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
            self.batch_norm = self.adopt(batch_norm)

    momentum = batch_norm_property("momentum", writable=True)
    epsilon = batch_norm_property("epsilon", writable=True)
    scale = batch_norm_property("scale")

    @property
    def layers(self) -> list[Any]:
        """The children, in the order in which they are applied."""
        parts = (self.pad, self.conv, self.batch_norm, self.activation)
        return [x for x in parts if isinstance(x, keras.layers.Layer)]

    def build(self, input_shape: Any) -> None:
        """Build the children."""
        build_chain(self.layers, input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Apply convolution, normalization and activation."""
        x = self.pad(inputs) if self.pad else inputs
        x = self.conv(x)
        if self.batch_norm:
            x = self.batch_norm(x, training=training)
        return self.activation(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the convolution's output."""
        if self.pad:
            input_shape = self.pad.compute_output_shape(input_shape)
        return self.conv.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "filters": self.conv.filters,
            "kernel_size": self.conv.kernel_size,
            "strides": self.conv.strides,
            "padding": self.padding,
            **serialize_options({x: getattr(self, x) for x in CONV_OPTIONS}),
        }


def split_options(
    arguments: Mapping[str, Any],
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """Split a block's arguments into `CONV_OPTIONS`, with defaults, and others.

    The options are a read-only mapping and not a dict, because Keras would
    track a layer in a dict attribute as a child of the block.
    """
    parameters = signature(ConvBN).parameters
    others = dict(arguments)
    options = {
        name: others.pop(name, parameters[name].default)
        for name in CONV_OPTIONS
    }
    return MappingProxyType(options), others
