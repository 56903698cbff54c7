"""The side head that gives a deep network's middle a loss of its own."""

import keras

from keras_inception_layers.layers.conv_bn import (
    ConvBN,
    check_positive_integer,
    fresh_options,
    serialize_options,
    take_options,
)
from keras_inception_layers.registration import register

AUXILIARY_LOSS_WEIGHT = 0.3
"""Weight of each side head's loss beside the main loss of 1.0, in training."""


@register
class AuxiliaryClassifier(keras.layers.Layer):
    """Average pooling, 1 x 1 convolution, two dense layers: a side head.

    Pooling of 5 x 5 by strides of 3, 128 filters of 1 x 1, a dense layer of
    1024 units, dropout of 0.7, and the classifier. It helps in training, with
    `AUXILIARY_LOSS_WEIGHT`, and is dropped for inference.

    Args:
        classes: integer, the number of classes.
        classifier_activation: of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        dropout: fraction of the 1024 units dropped in training. Defaults to
            `0.7`.
        seed: integer, seed of the dropout. Defaults to `None`.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for the convolution and (all but those of the
            batch normalization) the dense layers, and those of every Keras
            layer: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: feature maps of a network's middle.
        training: whether units are dropped and batch statistics used.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`. Height and
        width must be known, and at least 5.

    Output shape:
        `(batch, classes)`.

    Raises:
        ValueError: if an argument is out of its range; in `build`, if height
            or width is unknown or smaller than 5.

    Example:

    >>> head = AuxiliaryClassifier(10)
    >>> head(keras.Input((14, 14, 512))).shape
    (None, 10)

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014,
        arXiv:1409.4842.
    """

    def __init__(
        self,
        classes,
        classifier_activation="softmax",
        dropout=0.7,
        seed=None,
        **kwargs,
    ):
        classes = check_positive_integer("classes", classes)
        options = take_options(kwargs)
        super().__init__(**kwargs)
        self.options = options
        dense_options = {
            name: value
            for name, value in options.items()
            if name.startswith(("kernel_", "bias_"))
        }
        activation = options["activation"]
        shared = {"dtype": self.dtype_policy, "trainable": self.trainable}
        self.pool = keras.layers.AveragePooling2D(
            5, 3, data_format=options["data_format"], name="pool", **shared
        )
        self.conv = ConvBN(
            128, 1, name="conv", **fresh_options(options), **shared
        )
        self.flatten = keras.layers.Flatten(
            data_format=options["data_format"], name="flatten", **shared
        )
        self.dense = keras.layers.Dense(
            1024,
            name="dense",
            **fresh_options({**dense_options, "activation": activation}),
            **shared,
        )
        self.dropout = keras.layers.Dropout(
            dropout, seed=seed, name="dropout", **shared
        )
        self.predictions = keras.layers.Dense(
            classes,
            activation=classifier_activation,
            name="predictions",
            **fresh_options(dense_options),
            **shared,
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

    def build(self, input_shape):
        """Build the children, once height and width are known to suffice."""
        format_ = self.conv.data_format
        size = (
            input_shape[1:3]
            if format_ == "channels_last"
            else (input_shape[2:4])
        )
        if len(input_shape) != 4 or any(n is None or n < 5 for n in size):
            raise ValueError(
                f'"{self.name}" needs images of known height and width, at '
                f"least 5 x 5. Received the {format_} input shape "
                f"{tuple(input_shape)}"
            )
        for layer in self.layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs, training=None):
        """Apply the head; Keras hands `training` to each child."""
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
            "data_format": self.conv.data_format,
            "classes": self.predictions.units,
            "classifier_activation": keras.activations.serialize(
                self.predictions.activation
            ),
            "dropout": self.dropout.rate,
            "seed": self.dropout.seed,
        }


def drop_auxiliary(model):
    """Return the model without its side heads, for inference.

    Args:
        model: a Functional model. Its weights are shared, not copied.

    Returns:
        A model of the same inputs and of all outputs that no
        `AuxiliaryClassifier` computes; the model itself where there is no
        such output to drop, or nothing else.

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
        return isinstance(layer, AuxiliaryClassifier)

    side = [is_side(tensor) for tensor in model.outputs]
    if not any(side) or all(side):
        return model
    if isinstance(model.output, dict):
        outputs = {k: t for k, t in model.output.items() if not is_side(t)}
        return keras.Model(model.input, outputs, name=model.name)
    kept = [t for t in model.outputs if not is_side(t)]
    return keras.Model(model.input, kept, name=model.name)
