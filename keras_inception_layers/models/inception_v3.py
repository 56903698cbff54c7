"""The Inception v3 network: a stem, eleven blocks, a classifier."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Unpack

import keras

from keras_inception_layers.layers.auxiliary_classifier import (
    InceptionV3AuxiliaryClassifier,
)
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_v3_stages import (
    AveragingBlock,
    InceptionV3BlockA,
    InceptionV3BlockB,
    InceptionV3BlockC,
    InceptionV3BlockD,
    InceptionV3BlockE,
)
from keras_inception_layers.models import conventions, network
from keras_inception_layers.models.weights import check_imagenet

MIN_SIZE = 75  # of height and width, in pixels
# Filters, kernel size, strides and padding of each convolution; size and
# strides of each max pooling.
STEM = (
    ("conv_0", (32, 3, 2, "valid")),
    ("conv_1", (32, 3, 1, "valid")),
    ("conv_2", (64, 3, 1, "same")),
    ("pool_0", (3, 2)),
    ("conv_3", (80, 1, 1, "valid")),
    ("conv_4", (192, 3, 1, "valid")),
    ("pool_1", (3, 2)),
)
# mixed_0 to mixed_10: class and filters of each block.
BLOCKS = (
    (InceptionV3BlockA, ((64,), (48, 64), (64, 96), (32,))),
    (InceptionV3BlockA, ((64,), (48, 64), (64, 96), (64,))),
    (InceptionV3BlockA, ((64,), (48, 64), (64, 96), (64,))),
    (InceptionV3BlockB, ((384,), (64, 96))),
    (InceptionV3BlockC, ((192,), (128, 192), (128, 192), (192,))),
    (InceptionV3BlockC, ((192,), (160, 192), (160, 192), (192,))),
    (InceptionV3BlockC, ((192,), (160, 192), (160, 192), (192,))),
    (InceptionV3BlockC, ((192,), (192, 192), (192, 192), (192,))),
    (InceptionV3BlockD, ((192, 320), (192, 192))),
    (InceptionV3BlockE, ((320,), (384, 384), (448, 384), (192,))),
    (InceptionV3BlockE, ((320,), (384, 384), (448, 384), (192,))),
)
# The last layer whose feature maps have 1/2, 1/4, ... of the height and width.
LEVELS = {1: "conv_2", 2: "conv_4", 3: "mixed_2", 4: "mixed_7", 5: "mixed_10"}
# The number of the block that the side head reads.
AUXILIARY = 7


@dataclass(frozen=True)
class InceptionV3Convention(conventions.Convention):
    """Details in which the published implementations of Inception v3 differ.

    Args:
        count_border: whether the zeros beyond the border count in the mean of
            an average pooling.
    """

    count_border: bool = False


CONVENTIONS = {
    "paper": InceptionV3Convention(dropout=0.2),
    "keras": InceptionV3Convention(),
    "torchvision": InceptionV3Convention(
        scale=True,
        momentum=0.9,
        kernel_initializer=conventions.random_normal(0.1),
        dropout=0.5,
        count_border=True,
    ),
}


def InceptionV3(
    include_top: bool = True,
    weights: conventions.Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: conventions.Shape = network.IMAGENET_SHAPE,
    pooling: conventions.Pooling = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "inception_v3",
    *,
    convention: Literal["paper", "keras", "torchvision"] = "paper",
    auxiliary: bool = False,
    **options: Unpack[conventions.NetworkOptions],
) -> keras.Model:
    """Return Inception v3: 23,851,784 parameters at its defaults.

    `extract_features` returns its feature maps: `mixed_0` to `mixed_2` on the
    35 x 35 grid (for images of 299 x 299), `mixed_3` to `mixed_7` on the
    17 x 17 grid, `mixed_8` to `mixed_10` on the 8 x 8 grid.

    Args:
        include_top: whether to add the classifier. Defaults to `True`.
        weights: `"imagenet"` for those of `keras.applications` (images scaled
            to the range -1 to 1, three channels, the convention `"paper"` or
            `"keras"`; a side head keeps random weights), the path of a file
            that this network or that of `keras.applications` was saved to
            (`.weights.h5`, `.h5` or `.keras`), or `None` for random weights.
            Defaults to `None`.
        input_tensor: a Keras tensor to use as input. Defaults to `None`.
        input_shape: height, width and channels in the order of
            `keras.config.image_data_format()`, at least 75 x 75. Height and
            width may be `None`. `None` means the default shape with the top,
            and unknown height and width without it. Defaults to `(299, 299,
            3)`.
        pooling: global pooling without the top: `"max"`, `"avg"`, or `None` for
            feature maps. Defaults to `None`.
        classes: number of classes of the top. Defaults to `1000`.
        classifier_activation: activation of the last layer; `None` returns
            logits. Defaults to `"softmax"`.
        name: name of the model. Defaults to `"inception_v3"`.
        convention: the implementation to follow in its details: `"paper"` for
            the code of the paper's authors, `"keras"` for `keras.applications`,
            or `"torchvision"`. Defaults to `"paper"`.
        auxiliary: whether to return a model for training with a side head on
            `mixed_7`. Its outputs are a dictionary of `predictions` and
            `auxiliary`; the paper's authors use a loss weight of 0.4 for the
            side head. `drop_auxiliary` returns the model without it. Needs the
            top and images of at least 299 x 299. Defaults to `False`.
        **options: options of every convolution, as in `ConvBN`: `momentum`,
            `epsilon`, `scale`, `synchronized`, `use_batch_norm`; options of
            convolutions and dense layers, from `kernel_initializer` to
            `bias_constraint`; and `dropout`, the fraction of the features that
            training drops before the classifier. An option that is `None` has
            the value of the convention.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`; without
        the top `(batch, 2048)`, or feature maps of about 1/32 of the height and
        width.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if an option is unknown.

    Example:

    >>> model = InceptionV3(
    ...     include_top=False, input_shape=(75, 75, 3), pooling="avg"
    ... )
    >>> model.output_shape
    (None, 2048)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """
    network.check_auxiliary(auxiliary, include_top)
    details = conventions.get_convention(CONVENTIONS, convention)
    settings = conventions.make_settings("InceptionV3", details, options)
    border = {"count_border": details.count_border}
    inputs = x = network.image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        minimum=299 if auxiliary else MIN_SIZE,
        default=network.IMAGENET_SHAPE,
    )
    check_imagenet(weights, inputs, CONVENTIONS, convention)
    for layer_name, arguments in STEM:
        if layer_name.startswith("conv"):
            x = settings.make(ConvBN, *arguments, name=layer_name)(x)
        else:
            x = keras.layers.MaxPooling2D(*arguments, name=layer_name)(x)
    feature_maps = []
    for number, (block, filters) in enumerate(BLOCKS):
        pooling_options = border if issubclass(block, AveragingBlock) else {}
        x = settings.make(
            block, filters, name=f"mixed_{number}", **pooling_options
        )(x)
        feature_maps.append(x)
    outputs = network.average_top(
        x, settings, include_top, pooling, classes, classifier_activation
    )
    if auxiliary:
        head = settings.make(
            InceptionV3AuxiliaryClassifier,
            classes,
            classifier_activation,
            name="auxiliary",
        )
        outputs = {
            "predictions": outputs,
            "auxiliary": head(feature_maps[AUXILIARY]),
        }
    published = partial(
        keras.applications.InceptionV3, include_top=include_top, classes=classes
    )
    return network.make_model(inputs, outputs, name, weights, published)
