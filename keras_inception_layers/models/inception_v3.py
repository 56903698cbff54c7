"""Inception v3: a stem, eleven blocks and a classifier."""

from dataclasses import dataclass
from functools import partial

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
from keras_inception_layers.models.network import (
    IMAGENET_SHAPE,
    Convention,
    average_top,
    check_auxiliary,
    check_imagenet,
    documented,
    finish,
    global_pooling,
    image_input,
    select_convention,
)

SMALLEST = 75  # height and width
# Filters, kernel, strides and padding of a convolution; size and strides of
# a max pooling.
STEM = (
    ("conv_0", (32, 3, 2, "valid")),
    ("conv_1", (32, 3, 1, "valid")),
    ("conv_2", (64, 3, 1, "same")),
    ("pool_0", (3, 2)),
    ("conv_3", (80, 1, 1, "valid")),
    ("conv_4", (192, 3, 1, "valid")),
    ("pool_1", (3, 2)),
)
# mixed_0 to mixed_10: each block and its filters.
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
# The block whose output the side head reads.
AUXILIARY = 7


@dataclass(frozen=True)
class InceptionV3Convention(Convention):
    """The details in which implementations of Inception v3 differ.

    Args:
        count_border: whether zeros beyond the border count in the mean of an
            average pooling.
    """

    count_border: bool


# The details in which published implementations differ.
CONVENTIONS = {
    "paper": InceptionV3Convention(
        scale=False, epsilon=1e-3, dropout=0.2, count_border=False
    ),
    "keras": InceptionV3Convention(
        scale=False, epsilon=1e-3, dropout=0.0, count_border=False
    ),
    "torchvision": InceptionV3Convention(
        scale=True, epsilon=1e-3, dropout=0.5, count_border=True
    ),
}


@documented(SMALLEST)
def InceptionV3(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=IMAGENET_SHAPE,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="inception_v3",
    convention="paper",
    auxiliary=False,
):
    """Return Inception v3: 23,851,784 parameters at its defaults.

    As a backbone, its feature maps have stable names: for images of
    299 x 299, `mixed_0` to `mixed_2` are 35 x 35, `mixed_3` to `mixed_7`
    are 17 x 17, and `mixed_8` to `mixed_10` are 8 x 8.

    Args:
        weights: `"imagenet"` for those that `keras.applications` publishes
            (images scaled to between -1 and 1; three channels; the
            convention `"paper"` or `"keras"`; a side head stays random), the
            path of a `.weights.h5` or `.keras` file, or `None` for random
            weights. Defaults to `None`.
        convention: the implementation to follow: `"paper"` for the code of
            the paper's authors, `"keras"` for `keras.applications`, or
            `"torchvision"`. Defaults to `"paper"`.
        auxiliary: whether to return a model for training with a side head
            on `mixed_7`. Its outputs are a dictionary of `predictions` and
            `auxiliary`; the paper's authors give the side head's loss the
            weight 0.4. `drop_auxiliary` returns the model without it. Needs
            the top and images of at least 299 x 299. Defaults to `False`.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`;
        without the top `(batch, 2048)`, or feature maps of about 1/32 of the
        height and width.

    Example:

    >>> model = InceptionV3(include_top=False, input_shape=(75, 75, 3))
    >>> features = model.get_layer("mixed_7").output
    >>> keras.Model(model.input, features).output_shape
    (None, 3, 3, 768)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """
    check_auxiliary(auxiliary, include_top)
    details = select_convention(CONVENTIONS, convention)
    batch_norm = details.batch_norm
    border = {"count_border": details.count_border}
    inputs = x = image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        minimum=299 if auxiliary else SMALLEST,
        default=IMAGENET_SHAPE,
    )
    check_imagenet(weights, inputs, CONVENTIONS, convention)
    for layer_name, arguments in STEM:
        if layer_name.startswith("conv"):
            x = ConvBN(*arguments, name=layer_name, **batch_norm)(x)
        else:
            x = keras.layers.MaxPooling2D(*arguments, name=layer_name)(x)
    maps = []
    for number, (block, filters) in enumerate(BLOCKS):
        own = border if issubclass(block, AveragingBlock) else {}
        x = block(filters, name=f"mixed_{number}", **batch_norm, **own)(x)
        maps.append(x)
    if include_top:
        outputs = average_top(
            x, classes, classifier_activation, details.dropout
        )
    else:
        outputs = global_pooling(x, pooling)
    if auxiliary:
        head = InceptionV3AuxiliaryClassifier(
            classes, classifier_activation, name="auxiliary", **batch_norm
        )
        outputs = {"predictions": outputs, "auxiliary": head(maps[AUXILIARY])}
    published = partial(
        keras.applications.InceptionV3, include_top=include_top, classes=classes
    )
    return finish(inputs, outputs, name, weights, published)
