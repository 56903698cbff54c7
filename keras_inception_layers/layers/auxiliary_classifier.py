"""Side heads: auxiliary classifiers with a loss of their own."""

from functools import partial

import keras

from keras_inception_layers.layers.composite import Composite, build_chain
from keras_inception_layers.layers.conv_bn import (
    ConvBN,
    check_positive_integer,
    fresh_options,
    own_activation,
    serialize_options,
    take_options,
)
from keras_inception_layers.registration import register

AUXILIARY_LOSS_WEIGHT = 0.3
"""Weight of the loss of each side head of GoogLeNet; the main loss has 1."""


class SideHead(Composite):
    """A chain of layers that ends in a classifier.

    A subclass makes the layers, the last of which is `predictions`, and lists
    them in order (`layers`).

    Args:
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for the convolutions and (all but those of the
            batch normalization) the dense layers, and those of every Keras
            layer: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: feature maps from the middle of a network.
        training: whether units are dropped and batch statistics used.

    Output shape:
        `(batch, classes)`.
    """

    smallest = 1  # height and width
    size_known = False  # whether both must be known

    def __init__(self, **kwargs):
        options = take_options(kwargs)
        super().__init__(**kwargs)
        self.options = options

    def inherited_attributes(self):
        """Return the attributes that this layer passes on."""
        return {
            **super().inherited_attributes(),
            "momentum": self.options["momentum"],
        }

    def shared(self):
        """Return the arguments that every child gets."""
        return {"dtype": self.dtype_policy, "trainable": self.trainable}

    def make_dense(self, units, activation, name):
        """Return a dense layer with the options that apply to it."""
        options = {
            key: value
            for key, value in self.options.items()
            if key.startswith(("kernel_", "bias_"))
        }
        return keras.layers.Dense(
            units,
            own_activation(activation, **self.shared()),
            name=name,
            **fresh_options(options),
            **self.shared(),
        )

    @property
    def data_format(self):
        """The order of the axes of an image."""
        return self.pool.data_format

    def build(self, input_shape):
        """Build the children, if height and width are large enough."""
        format_ = self.data_format
        axes = slice(1, 3) if format_ == "channels_last" else slice(2, 4)
        if len(input_shape) != 4 or any(
            self.size_known if n is None else n < self.smallest
            for n in input_shape[axes]
        ):
            known = "of known height and width, " if self.size_known else ""
            raise ValueError(
                f'"{self.name}" needs images {known}at least '
                f"{self.smallest} x {self.smallest}. Received the {format_} "
                f"input shape {tuple(input_shape)}"
            )
        build_chain(self.layers, input_shape)

    def call(self, inputs, training=None):
        """Apply the head; Keras passes `training` to each child."""
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
    """The side head of GoogLeNet.

    Average pooling of 5 x 5 with strides of 3, a 1 x 1 convolution with 128
    filters, a dense layer of 1024 units, dropout of 0.7, and the classifier.
    It is used in training, with `AUXILIARY_LOSS_WEIGHT`, and dropped for
    inference.

    Args:
        classes: integer, the number of classes.
        classifier_activation: of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        dropout: fraction of the 1024 units dropped in training. Defaults to
            `0.7`.
        seed: integer, seed of the dropout. Defaults to `None`.
        adaptive_pooling: whether to average over a grid of 4 x 4 regions that
            cover the maps, as torchvision does, instead of windows of
            5 x 5. Defaults to `False`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`. Height and
        width must be known, and at least 5; with `adaptive_pooling` they may
        have any size.

    Raises:
        ValueError: if an argument is out of its range; in `build`, if height
            or width is unknown or too small.

    Example:

    >>> head = AuxiliaryClassifier(10)
    >>> head(keras.Input((14, 14, 512))).shape
    (None, 10)

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014,
        arXiv:1409.4842.
    """

    size_known = True

    def __init__(
        self,
        classes,
        classifier_activation="softmax",
        dropout=0.7,
        seed=None,
        adaptive_pooling=False,
        **kwargs,
    ):
        classes = check_positive_integer("classes", classes)
        super().__init__(**kwargs)
        options, shared = self.options, self.shared()
        data_format = options["data_format"]
        self.adaptive_pooling = bool(adaptive_pooling)
        self.smallest = 1 if adaptive_pooling else 5
        make_pool = (
            partial(keras.layers.AdaptiveAveragePooling2D, 4)
            if adaptive_pooling
            else partial(keras.layers.AveragePooling2D, 5, 3)
        )
        self.pool = make_pool(data_format=data_format, name="pool", **shared)
        self.conv = ConvBN(
            128, 1, name="conv", **fresh_options(options), **shared
        )
        self.flatten = keras.layers.Flatten(
            data_format=data_format, name="flatten", **shared
        )
        self.dense = self.make_dense(1024, options["activation"], "dense")
        self.dropout = keras.layers.Dropout(
            dropout, seed=seed, name="dropout", **shared
        )
        self.predictions = self.make_dense(
            classes, classifier_activation, "predictions"
        )

    @property
    def layers(self):
        """The children, in the order in which they are applied."""
        return [
            self.pool,
            self.conv,
            self.flatten,
            self.dense,
            self.dropout,
            self.predictions,
        ]

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
    """The side head of Inception v3, after the last block of 17 x 17.

    Average pooling of 5 x 5 with strides of 3, a 1 x 1 convolution with 128
    filters, a 5 x 5 convolution with 768 filters and no padding, global
    average pooling (of one pixel, at 17 x 17), and the classifier.

    Args:
        classes: integer, the number of classes.
        classifier_activation: of the last layer; `None` gives logits.
            Defaults to `"softmax"`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`; at least
        17 x 17.

    Raises:
        ValueError: if an argument is out of its range; in `build`, if height
            or width is smaller than 17.

    Example:

    >>> head = InceptionV3AuxiliaryClassifier(10)
    >>> head(keras.Input((17, 17, 768))).shape
    (None, 10)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    smallest = 17

    def __init__(self, classes, classifier_activation="softmax", **kwargs):
        classes = check_positive_integer("classes", classes)
        super().__init__(**kwargs)
        options, shared = self.options, self.shared()
        data_format = options["data_format"]
        self.pool = keras.layers.AveragePooling2D(
            5, 3, data_format=data_format, name="pool", **shared
        )
        self.conv_0 = ConvBN(
            128, 1, name="conv_0", **fresh_options(options), **shared
        )
        self.conv_1 = ConvBN(
            768,
            5,
            padding="valid",
            name="conv_1",
            **fresh_options(options),
            **shared,
        )
        self.average = keras.layers.GlobalAveragePooling2D(
            data_format=data_format, name="average", **shared
        )
        self.predictions = self.make_dense(
            classes, classifier_activation, "predictions"
        )

    @property
    def layers(self):
        """The children, in the order in which they are applied."""
        return [
            self.pool,
            self.conv_0,
            self.conv_1,
            self.average,
            self.predictions,
        ]


def drop_auxiliary(model):
    """Return the model without its side heads, for inference.

    Args:
        model: a Functional model. Its weights are shared, not copied.

    Returns:
        A model with the same inputs and the outputs that no side head
        computes; the model itself if there is no side head, or no other
        output.

    Example:

    >>> from keras_inception_layers import VGG16Inception, drop_auxiliary
    >>> model = VGG16Inception(
    ...     input_shape=(80, 80, 1), classes=10, auxiliary=True
    ... )
    >>> list(drop_auxiliary(model).output)
    ['predictions']
    """

    def is_side(tensor):
        layer = tensor._keras_history.operation
        return isinstance(layer, SideHead)

    side = [is_side(tensor) for tensor in model.outputs]
    if not any(side) or all(side):
        return model
    if isinstance(model.output, dict):
        outputs = {k: t for k, t in model.output.items() if not is_side(t)}
        return keras.Model(model.input, outputs, name=model.name)
    kept = [t for t in model.outputs if not is_side(t)]
    return keras.Model(model.input, kept, name=model.name)
