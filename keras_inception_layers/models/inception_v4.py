"""The Inception v4 network."""

from functools import partial
from typing import Any, Literal, Unpack

import keras

from keras_inception_layers.layers.inception_v4 import (
    InceptionV4BlockA,
    InceptionV4BlockB,
    InceptionV4BlockC,
    InceptionV4ReductionA,
    InceptionV4ReductionB,
    InceptionV4Stem,
)
from keras_inception_layers.models import conventions, network

MIN_SIZE = 75  # of height and width, in pixels
# The filters of each block, from figures 3 to 8.
FILTERS = {
    InceptionV4Stem: ((32, 32, 64), (96,), (64, 96), (64, 64, 64, 96), (192,)),
    InceptionV4BlockA: ((96,), (64, 96), (64, 96, 96), (96,)),
    InceptionV4ReductionA: ((384,), (192, 224, 256)),
    InceptionV4BlockB: (
        *((384,), (192, 224, 256), (192, 192, 224, 224, 256), (128,)),
    ),
    InceptionV4ReductionB: ((192, 192), (256, 256, 320, 320)),
    InceptionV4BlockC: ((256,), (384, 256), (384, 448, 512, 256), (256,)),
}
# `keras.applications` has no Inception v4.
CONVENTIONS = {
    "paper": conventions.Convention(dropout=0.2),
    "timm": conventions.Convention(
        scale=True, momentum=0.9, kernel_initializer=conventions.TORCH_UNIFORM
    ),
}
# The last layer whose feature maps have 1/8, 1/16 and 1/32 of the height and
# width; the larger ones are inside the stem.
LEVELS = {3: "block_a_4", 4: "block_b_7", 5: "block_c_3"}


def InceptionV4(
    include_top: bool = True,
    weights: conventions.Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: conventions.Shape = network.IMAGENET_SHAPE,
    pooling: conventions.Pooling = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "inception_v4",
    *,
    convention: Literal["paper", "timm"] = "paper",
    **options: Unpack[conventions.NetworkOptions],
) -> keras.Model:
    """Return Inception v4: a stem, and 4, 7 and 3 blocks, figure 9.

    At the default shape it has 42,679,816 trainable parameters with the
    convention `"timm"`, and 42,648,232 without a scale in the batch
    normalizations. `extract_features` returns its feature maps.

    Args:
        include_top: whether to add the classifier. Defaults to `True`.
        weights: path of a `.weights.h5` or `.keras` file, or `None` for random
            weights. Defaults to `None`.
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
        name: name of the model. Defaults to `"inception_v4"`.
        convention: the implementation to follow in its details. Both use an
            epsilon of 1e-3 and do not count the border in an average pooling.
            `"timm"` has a scale in the batch normalizations; `"paper"` has none
            and drops 0.2 of the features in training. Defaults to `"paper"`.
        **options: options of every convolution, as in `ConvBN`: `momentum`,
            `epsilon`, `scale`, `synchronized`, `use_batch_norm`; options of
            convolutions and dense layers, from `kernel_initializer` to
            `bias_constraint`; and `dropout`, the fraction of the features that
            training drops before the classifier. An option that is `None` has
            the value of the convention.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`; without
        the top `(batch, 1536)`, or feature maps of about 1/32 of the height and
        width.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if an option is unknown.

    Example:

    >>> model = InceptionV4(
    ...     include_top=False, input_shape=(75, 75, 3), pooling="avg"
    ... )
    >>> model.output_shape
    (None, 1536)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """
    details = conventions.get_convention(CONVENTIONS, convention)
    settings = conventions.make_settings("InceptionV4", details, options)
    inputs = x = network.image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        minimum=MIN_SIZE,
        default=network.IMAGENET_SHAPE,
    )
    for layer in _layers(settings):
        x = layer(x)
    outputs = network.average_top(
        x, settings, include_top, pooling, classes, classifier_activation
    )
    return network.make_model(inputs, outputs, name, weights)


def _layers(settings):
    """Return the network's layers in order, from the image to the top."""
    stem, block_a, reduction_a, block_b, reduction_b, block_c = (
        partial(settings.make, *block) for block in FILTERS.items()
    )
    return [
        stem(name="stem"),
        *(block_a(name=f"block_a_{n}") for n in range(1, 5)),
        reduction_a(name="reduction_a"),
        *(block_b(name=f"block_b_{n}") for n in range(1, 8)),
        reduction_b(name="reduction_b"),
        *(block_c(name=f"block_c_{n}") for n in range(1, 4)),
    ]
