"""Side heads: auxiliary classifiers in the middle of a deep network.

They add a loss of their own in training. `drop_auxiliary` removes them from a
model for inference.
"""

from functools import partial
from typing import Unpack

import keras

from keras_inception_layers.layers.composite import Composite, build_chain
from keras_inception_layers.layers.conv_bn import (
    ConvBN,
    check_positive_integer,
    split_options,
)
from keras_inception_layers.layers.conv_options import (
    ConvOptions,
    clone_initializers,
    copy_activation,
    serialize_options,
)
from keras_inception_layers.registration import register

AUXILIARY_LOSS_WEIGHT = 0.3
"""Loss weight of each side head of Inception v1; the main loss has 1."""


class SideHead(Composite):
    """A chain of layers that ends in a classifier.

    A subclass passes the layers, in order, to `set_layers`; the first is named
    `pool` and the last `predictions`. Its `**kwargs` are options of the
    convolutions; those of the kernel and bias also apply to the dense layers.
    """

    min_size = 1  # of height and width
    known_size = False  # whether height and width must be known

    def __init__(self, **kwargs: Unpack[ConvOptions]):
        options, layer_options = split_options(kwargs)
        super().__init__(**layer_options)
        self.options = options

    def set_layers(self, *layers):
        """Set the children, each of which becomes the attribute of its name."""
        for layer in layers:
            setattr(self, layer.name, self.adopt(layer))
        self.order = tuple(layer.name for layer in layers)

    @property
    def layers(self):
        """The children, in the order in which they are applied."""
        return [getattr(self, name) for name in self.order]

    def shared(self):
        """Return the arguments that all children share."""
        return {"dtype": self.dtype_policy}

    def make_dense(self, units, activation, name):
        """Return a dense layer with the options that apply to it."""
        options = {
            key: value
            for key, value in self.options.items()
            if key.startswith(("kernel_", "bias_"))
        }
        return keras.layers.Dense(
            units,
            copy_activation(activation, **self.shared()),
            name=name,
            **clone_initializers(options),
            **self.shared(),
        )

    @property
    def data_format(self):
        """The order of the axes, `"channels_last"` or `"channels_first"`."""
        return self.pool.data_format

    def build(self, input_shape):
        """Build the children, after a check of height and width."""
        format_ = self.data_format
        axes = slice(1, 3) if format_ == "channels_last" else slice(2, 4)
        if len(input_shape) != 4 or any(
            self.known_size if n is None else n < self.min_size
            for n in input_shape[axes]
        ):
            known = "of known height and width, " if self.known_size else ""
            raise ValueError(
                f'"{self.name}" needs images {known}at least '
                f"{self.min_size} x {self.min_size}. Received the {format_} "
                f"input shape {tuple(input_shape)}"
            )
        build_chain(self.layers, input_shape)

    def call(self, inputs, training=None):
        """Apply the layers; Keras passes `training` on to each child."""
        x = inputs
        for layer in self.layers:
            x = layer(x)
        return x

    def compute_output_shape(self, input_shape):
        """Return `(batch, classes)`."""
        return (input_shape[0], self.predictions.units)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            **serialize_options(self.options),
            "data_format": self.data_format,
            "classes": self.predictions.units,
            "classifier_activation": keras.activations.serialize(
                self.predictions.activation
            ),
        }


@register
class AuxiliaryClassifier(SideHead):
    """Side head of GoogLeNet: pooling, a convolution, two dense layers.

    Average pooling of 5 x 5 with strides of 3, a 1 x 1 convolution with 128
    filters, a dense layer of 1024 units, dropout of 0.7, and the classifier.
    It is used in training, with the loss weight `AUXILIARY_LOSS_WEIGHT`, and
    dropped for inference.

    Args:
        classes: integer, the number of classes.
        classifier_activation: activation of the last layer; `None` returns
            logits. Defaults to `"softmax"`.
        dropout: fraction of the 1024 units dropped in training. Defaults to
            `0.7`.
        seed: integer, seed of the dropout. Defaults to `None`.
        adaptive_pooling: whether to average over a grid of 4 x 4 regions that
            cover the feature maps, as torchvision does, instead of windows of
            5 x 5. Defaults to `False`.
        **kwargs: options of the convolution, as in `ConvBN` from `data_format`
            to `bias_constraint`, of which those of the kernel and bias also
            apply to the dense layers; `name`, `dtype` and `trainable` of the
            layer.

    Call arguments:
        inputs: feature maps from the middle of a network.
        training: whether to apply dropout and normalize with the statistics
            of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`.
        Height and width must be known and at least 5; with `adaptive_pooling`
        at least 1.

    Output shape:
        `(batch, classes)`.

    Raises:
        ValueError: if an argument is out of range; in `build`, if height or
            width is unknown or too small.

    Example:

    >>> head = AuxiliaryClassifier(10)
    >>> head(keras.Input((14, 14, 512))).shape
    (None, 10)

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014,
        arXiv:1409.4842.
    """

    known_size = True

    def __init__(
        self,
        classes,
        classifier_activation="softmax",
        dropout=0.7,
        seed=None,
        adaptive_pooling=False,
        **kwargs: Unpack[ConvOptions],
    ):
        classes = check_positive_integer("classes", classes)
        super().__init__(**kwargs)
        options, shared = self.options, self.shared()
        data_format = options["data_format"]
        self.adaptive_pooling = bool(adaptive_pooling)
        self.min_size = 1 if adaptive_pooling else 5
        make_pool = (
            partial(keras.layers.AdaptiveAveragePooling2D, 4)
            if adaptive_pooling
            else partial(keras.layers.AveragePooling2D, 5, 3)
        )
        self.set_layers(
            make_pool(data_format=data_format, name="pool", **shared),
            ConvBN(
                128, 1, name="conv", **clone_initializers(options), **shared
            ),
            keras.layers.Flatten(
                data_format=data_format, name="flatten", **shared
            ),
            self.make_dense(1024, options["activation"], "dense"),
            keras.layers.Dropout(dropout, seed=seed, name="dropout", **shared),
            self.make_dense(classes, classifier_activation, "predictions"),
        )

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "dropout": self.dropout.rate,
            "seed": self.dropout.seed,
            "adaptive_pooling": self.adaptive_pooling,
        }


@register
class InceptionV3AuxiliaryClassifier(SideHead):
    """Side head of Inception v3, for the last block of the 17 x 17 grid.

    Average pooling of 5 x 5 with strides of 3, a 1 x 1 convolution with 128
    filters, a 5 x 5 convolution with 768 filters and no padding, the mean over
    the remaining pixels (one, if the input is 17 x 17), and the classifier.

    Args:
        classes: integer, the number of classes.
        classifier_activation: activation of the last layer; `None` returns
            logits. Defaults to `"softmax"`.
        **kwargs: options of the convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`, of which those of the kernel and bias also
            apply to the dense layer; `name`, `dtype` and `trainable` of the
            layer.

    Call arguments:
        inputs: feature maps from the middle of a network.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`, at
        least 17 x 17.

    Output shape:
        `(batch, classes)`.

    Raises:
        ValueError: if an argument is out of range; in `build`, if height or
            width is smaller than 17.

    Example:

    >>> head = InceptionV3AuxiliaryClassifier(10)
    >>> head(keras.Input((17, 17, 768))).shape
    (None, 10)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    min_size = 17

    def __init__(
        self,
        classes,
        classifier_activation="softmax",
        **kwargs: Unpack[ConvOptions],
    ):
        classes = check_positive_integer("classes", classes)
        super().__init__(**kwargs)
        options, shared = self.options, self.shared()
        data_format = options["data_format"]
        self.set_layers(
            keras.layers.AveragePooling2D(
                5, 3, data_format=data_format, name="pool", **shared
            ),
            ConvBN(
                128, 1, name="conv_0", **clone_initializers(options), **shared
            ),
            ConvBN(
                768,
                5,
                padding="valid",
                name="conv_1",
                **clone_initializers(options),
                **shared,
            ),
            keras.layers.GlobalAveragePooling2D(
                data_format=data_format, name="average", **shared
            ),
            self.make_dense(classes, classifier_activation, "predictions"),
        )


def drop_auxiliary(model):
    """Return the model without its side heads, for inference.

    Args:
        model: a Functional model. Its layers and weights are shared with the
            returned model, not copied.

    Returns:
        A model with the same inputs and all outputs that are not computed by a
        side head. If no output or every output is computed by one, `model`
        itself.

    Example:

    >>> from keras_inception_layers import VGG16Inception, drop_auxiliary
    >>> model = VGG16Inception(
    ...     input_shape=(80, 80, 1), classes=10, auxiliary=True
    ... )
    >>> list(drop_auxiliary(model).output)
    ['predictions']
    """

    def is_side(tensor):
        return isinstance(tensor._keras_history.operation, SideHead)

    side = [is_side(tensor) for tensor in model.outputs]
    if all(side) or not any(side):
        return model
    if isinstance(model.output, dict):
        outputs = {k: t for k, t in model.output.items() if not is_side(t)}
        return keras.Model(model.input, outputs, name=model.name)
    kept = [t for t in model.outputs if not is_side(t)]
    return keras.Model(model.input, kept, name=model.name)
