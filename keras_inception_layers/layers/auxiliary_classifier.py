"""Side heads: auxiliary classifiers in the middle of a deep network.

They add a loss of their own in training. `side_heads.drop_auxiliary` removes
them from a model for inference.
"""

from typing import Any, Unpack

import keras

from keras_inception_layers.layers.branch_table import (
    Cell,
    avg_pool,
    conv,
    keras_cell,
)
from keras_inception_layers.layers.composite import (
    Composite,
    build_chain,
    run_chain,
)
from keras_inception_layers.layers.conv_bn import (
    check_positive_integer,
    split_options,
)
from keras_inception_layers.layers.conv_options import (
    ConvOptions,
    clone_initializers,
    copy_activation,
    kernel_options,
    serialize_options,
)
from keras_inception_layers.registration import register

AUXILIARY_LOSS_WEIGHT = 0.3
"""Loss weight of each side head of Inception v1; the main loss has 1."""


def dense(units, **overrides):
    """Return a cell for a dense layer; `overrides` replace its options."""

    def make(name, dtype, options):
        options = {**options, **overrides}
        return keras.layers.Dense(
            units,
            copy_activation(options["activation"], dtype),
            name=name,
            dtype=dtype,
            **clone_initializers(kernel_options(options)),
        )

    return Cell("dense", make)


class SideHead(Composite):
    """A chain of layers that ends in a classifier.

    A subclass passes their cells by name, in order; each layer becomes the
    attribute of its name. The first is named `pool`, the last `predictions`.
    """

    min_size = 1  # of height and width
    known_size = False  # whether height and width must be known

    def __init__(self, cells: dict[str, Cell], **kwargs: Unpack[ConvOptions]):
        options, layer_options = split_options(kwargs)
        super().__init__(**layer_options)
        self.options = options
        self.order = tuple(cells)
        for name, cell in cells.items():
            layer = cell.make(name, self.dtype_policy, options)
            setattr(self, name, self.adopt(layer))

    @property
    def layers(self) -> list[Any]:
        """The children, in the order in which they are applied."""
        return [getattr(self, name) for name in self.order]

    @property
    def data_format(self) -> Any:
        """The order of the axes, `"channels_last"` or `"channels_first"`."""
        return self.pool.data_format

    def build(self, input_shape: Any) -> None:
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

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Apply the layers."""
        return run_chain(self.layers, inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return `(batch, classes)`."""
        return (input_shape[0], self.predictions.units)

    def get_config(self) -> dict[str, Any]:
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
        classifier_activation: activation of the last layer; `None` or `False`
            returns logits. Defaults to `"softmax"`.
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
        classes: int,
        classifier_activation: Any = "softmax",
        dropout: float = 0.7,
        seed: int | None = None,
        adaptive_pooling: bool = False,
        **kwargs: Unpack[ConvOptions],
    ) -> None:
        classes = check_positive_integer("classes", classes)
        self.adaptive_pooling = bool(adaptive_pooling)
        self.min_size = 1 if adaptive_pooling else 5
        cells = {
            "pool": avg_pool(5, 3, "valid"),
            "conv": conv(128, 1),
            "flatten": keras_cell("flatten", keras.layers.Flatten),
            "dense": dense(1024),
            "dropout": Cell(
                "dropout",
                lambda name, dtype, options: keras.layers.Dropout(
                    dropout, seed=seed, name=name, dtype=dtype
                ),
            ),
            "predictions": dense(classes, activation=classifier_activation),
        }
        if adaptive_pooling:
            pooling = keras.layers.AdaptiveAveragePooling2D
            cells["pool"] = keras_cell("pool", pooling, 4)
        super().__init__(cells, **kwargs)

    def get_config(self) -> dict[str, Any]:
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
        classifier_activation: activation of the last layer; `None` or `False`
            returns logits. Defaults to `"softmax"`.
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
        classes: int,
        classifier_activation: Any = "softmax",
        **kwargs: Unpack[ConvOptions],
    ) -> None:
        classes = check_positive_integer("classes", classes)
        super().__init__(
            {
                "pool": avg_pool(5, 3, "valid"),
                "conv_0": conv(128, 1),
                "conv_1": conv(768, 5, padding="valid"),
                "average": keras_cell(
                    "average", keras.layers.GlobalAveragePooling2D
                ),
                "predictions": dense(classes, activation=classifier_activation),
            },
            **kwargs,
        )
