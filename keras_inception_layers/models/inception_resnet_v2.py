"""The Inception-ResNet v2 network."""

from functools import partial
from typing import Any, Literal, Unpack

import keras

from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_resnet_v2 import (
    InceptionResNetV2BlockA,
    InceptionResNetV2BlockB,
    InceptionResNetV2BlockC,
    InceptionResNetV2ReductionA,
    InceptionResNetV2ReductionB,
)
from keras_inception_layers.layers.inception_v3_stages import InceptionV3BlockA
from keras_inception_layers.models import conventions, network
from keras_inception_layers.models.weights import check_imagenet

MIN_SIZE = 75  # of height and width, in pixels
# The filters of each block, in the order of the network.
FILTERS = {
    InceptionV3BlockA: ((96,), (48, 64), (64, 96), (64,)),
    InceptionResNetV2BlockA: ((32,), (32, 32), (32, 48, 64), (320,)),
    InceptionResNetV2ReductionA: ((384,), (256, 256, 384)),
    InceptionResNetV2BlockB: ((192,), (128, 160, 192), (1088,)),
    InceptionResNetV2ReductionB: ((256, 384), (256, 288), (256, 288, 320)),
    InceptionResNetV2BlockC: ((192,), (192, 224, 256), (2080,)),
}
CONVENTIONS = {
    "paper": conventions.Convention(dropout=0.2),
    "keras": conventions.Convention(),
    "timm": conventions.Convention(
        scale=True, momentum=0.9, kernel_initializer=conventions.TORCH_UNIFORM
    ),
}
# The last layer whose feature maps have 1/2, 1/4, ... of the height and width.
LEVELS = {
    1: "conv_2b",
    2: "conv_4a",
    3: "block35_10",
    4: "block17_20",
    5: "conv_7b",
}


def InceptionResNetV2(
    include_top: bool = True,
    weights: conventions.Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: conventions.Shape = network.IMAGENET_SHAPE,
    pooling: conventions.Pooling = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "inception_resnet_v2",
    *,
    convention: Literal["paper", "keras", "timm"] = "paper",
    **options: Unpack[conventions.NetworkOptions],
) -> keras.Model:
    """Return Inception-ResNet v2, as its authors published it.

    At the default shape it has 55,873,736 parameters. `extract_features`
    returns its feature maps.

    Args:
        include_top: whether to add the classifier. Defaults to `True`.
        weights: `"imagenet"` for those of `keras.applications`, the path of a
            file that this network or that of `keras.applications` was saved to
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
        name: name of the model. Defaults to `"inception_resnet_v2"`.
        convention: the implementation to follow in its details. All three use
            an epsilon of 1e-3 and do not count the border in an average
            pooling. `"paper"` and `"keras"` have no scale in the batch
            normalizations, `"timm"` has one; only `"paper"` drops 0.2 of the
            features in training. Defaults to `"paper"`.
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

    >>> model = InceptionResNetV2(
    ...     include_top=False, input_shape=(75, 75, 3), pooling="avg"
    ... )
    >>> model.output_shape
    (None, 1536)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """
    details = conventions.get_convention(CONVENTIONS, convention)
    settings = conventions.make_settings("InceptionResNetV2", details, options)
    inputs = x = network.image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        minimum=MIN_SIZE,
        default=network.IMAGENET_SHAPE,
    )
    check_imagenet(weights, inputs, CONVENTIONS, convention)
    for layer in _layers(settings):
        x = layer(x)
    outputs = network.average_top(
        x, settings, include_top, pooling, classes, classifier_activation
    )
    published = partial(
        keras.applications.InceptionResNetV2,
        include_top=include_top,
        classes=classes,
    )
    return network.make_model(inputs, outputs, name, weights, published)


def _layers(settings):
    """Return the network's layers in order, from the image to the top."""
    conv = partial(settings.make, ConvBN)
    pool = partial(keras.layers.MaxPooling2D, 3, 2)
    mixed_5b, block_a, reduction_a, block_b, reduction_b, block_c = (
        partial(settings.make, *block) for block in FILTERS.items()
    )
    return [
        conv(32, 3, 2, "valid", name="conv_1a"),
        conv(32, 3, 1, "valid", name="conv_2a"),
        conv(64, 3, name="conv_2b"),
        pool(name="pool_3a"),
        conv(80, 1, name="conv_3b"),
        conv(192, 3, 1, "valid", name="conv_4a"),
        pool(name="pool_5a"),
        mixed_5b(name="mixed_5b"),
        *_repeated(block_a, 10, 0.17, "block35"),
        reduction_a(name="mixed_6a"),
        *_repeated(block_b, 20, 0.1, "block17"),
        reduction_b(name="mixed_7a"),
        *_repeated(block_c, 9, 0.2, "block8"),
        block_c(residual_scale=1.0, output_activation=None, name="block8_10"),
        conv(1536, 1, name="conv_7b"),
    ]


def _repeated(block, times, scale, name):
    """Return a number of equal blocks, with numbered names."""
    return [
        block(residual_scale=scale, name=f"{name}_{number}")
        for number in range(1, times + 1)
    ]
