"""GoogLeNet, the first Inception network."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Unpack

import keras

from keras_inception_layers.layers.auxiliary_classifier import (
    AuxiliaryClassifier,
)
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_v1 import InceptionV1Block
from keras_inception_layers.models import conventions, network

DEFAULT_SHAPE = (224, 224, 3)
# The filters of each block, from table 1.
BLOCKS = {
    "inception_3a": ((64,), (96, 128), (16, 32), (32,)),
    "inception_3b": ((128,), (128, 192), (32, 96), (64,)),
    "inception_4a": ((192,), (96, 208), (16, 48), (64,)),
    "inception_4b": ((160,), (112, 224), (24, 64), (64,)),
    "inception_4c": ((128,), (128, 256), (24, 64), (64,)),
    "inception_4d": ((112,), (144, 288), (32, 64), (64,)),
    "inception_4e": ((256,), (160, 320), (32, 128), (128,)),
    "inception_5a": ((256,), (160, 320), (32, 128), (128,)),
    "inception_5b": ((384,), (192, 384), (48, 128), (128,)),
}
# The last layer whose feature maps have 1/2, 1/4, ... of the height and width.
LEVELS = {
    1: "conv_1",
    2: "conv_3",
    3: "inception_3b",
    4: "inception_4e",
    5: "inception_5b",
}
# The block that each side head reads.
AUXILIARY = {"auxiliary_1": "inception_4a", "auxiliary_2": "inception_4d"}


@dataclass(frozen=True, kw_only=True)
class GoogLeNetConvention(conventions.Convention):
    """Details in which the published implementations of GoogLeNet differ.

    Args:
        use_batch_norm: whether convolutions are normalized by default.
        kernel_sizes: kernel sizes of the second and third branch of a block.
        stem_padding: padding of the 7 x 7 convolution, as in `ConvBN`.
        ceil_mode: whether the windows of a max pooling start at the first
            pixel and their number is rounded up, as with torch's `ceil_mode`;
            otherwise the padding is `"same"`.
        last_pool: height and width of the window of the last max pooling.
        adaptive_pooling: whether the side heads use adaptive pooling.
        min_size: minimum height and width of the images, in pixels.
        min_size_auxiliary: the same with the side heads.
    """

    use_batch_norm: bool
    kernel_sizes: tuple[int, int]
    stem_padding: int | str
    ceil_mode: bool
    last_pool: int
    adaptive_pooling: bool
    min_size: int
    min_size_auxiliary: int


# "paper" is table 1 and figure 3.
CONVENTIONS = {
    "paper": GoogLeNetConvention(
        dropout=0.4,
        use_batch_norm=False,
        kernel_sizes=(3, 5),
        stem_padding="same",
        ceil_mode=False,
        last_pool=3,
        adaptive_pooling=False,
        min_size=1,
        min_size_auxiliary=65,
    ),
    "torchvision": GoogLeNetConvention(
        scale=True,
        momentum=0.9,
        kernel_initializer=conventions.random_normal(0.01),
        dropout=0.2,
        use_batch_norm=True,
        kernel_sizes=(3, 3),
        stem_padding=3,
        ceil_mode=True,
        last_pool=2,
        adaptive_pooling=True,
        min_size=15,
        min_size_auxiliary=15,
    ),
}
MIN_SIZE = CONVENTIONS["paper"].min_size  # of height and width, in pixels


def GoogLeNet(
    include_top: bool = True,
    weights: conventions.Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: conventions.Shape = DEFAULT_SHAPE,
    pooling: conventions.Pooling = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "googlenet",
    *,
    convention: Literal["paper", "torchvision"] = "paper",
    auxiliary: bool = False,
    **options: Unpack[conventions.NetworkOptions],
) -> keras.Model:
    """Return GoogLeNet: a stem and nine Inception v1 blocks.

    At the default shape it has 6,998,552 parameters without batch
    normalization, and 13,378,280 with the side heads. `extract_features`
    returns its feature maps.

    The network follows table 1 of the paper. The local response normalization
    that figure 3 shows after the first two stages is left out: the paper gives
    no constants for it, it has no weights, and batch normalization has replaced
    it.

    Args:
        include_top: whether to add the classifier. Defaults to `True`.
        weights: path of a `.weights.h5` or `.keras` file, or `None` for random
            weights. Defaults to `None`.
        input_tensor: a Keras tensor to use as input. Defaults to `None`.
        input_shape: height, width and channels in the order of
            `keras.config.image_data_format()`. The convention `"paper"`
            supports every size, `"torchvision"` at least 15 x 15. Height and
            width may be `None` without the side heads. `None` means the default
            shape with the top, and unknown height and width without it.
            Defaults to `(224, 224, 3)`.
        pooling: global pooling without the top: `"max"`, `"avg"`, or `None` for
            feature maps. Defaults to `None`.
        classes: number of classes of the top. Defaults to `1000`.
        classifier_activation: activation of the last layer; `None` returns
            logits. Defaults to `"softmax"`.
        name: name of the model. Defaults to `"googlenet"`.
        convention: the implementation to follow in its details: `"paper"`, or
            `"torchvision"`, which has 3 x 3 kernels instead of 5 x 5, batch
            normalization, and other padding and pooling. Defaults to `"paper"`.
        auxiliary: whether to return a model for training with two side heads,
            on `inception_4a` and `inception_4d`. Its outputs are a dictionary
            of `predictions`, `auxiliary_1` and `auxiliary_2`; the loss weight
            of each side head should be `AUXILIARY_LOSS_WEIGHT` (0.3).
            `drop_auxiliary` returns the model without them. Needs the top and
            images of known size, with `"paper"` at least 65 x 65. Defaults to
            `False`.
        **options: options of every convolution, as in `ConvBN`: `momentum`,
            `epsilon`, `scale`, `synchronized`, `use_batch_norm`; options of
            convolutions and dense layers, from `kernel_initializer` to
            `bias_constraint`; and `dropout`, the fraction of the features that
            training drops before the classifier. An option that is `None` has
            the value of the convention.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`; without
        the top `(batch, 1024)`, or feature maps of about 1/32 of the height and
        width.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if an option is unknown.

    Example:

    >>> model = GoogLeNet(
    ...     include_top=False, input_shape=(64, 64, 3), pooling="avg"
    ... )
    >>> model.output_shape
    (None, 1024)

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014,
        arXiv:1409.4842.
    """
    network.check_auxiliary(auxiliary, include_top)
    details = conventions.get_convention(CONVENTIONS, convention)
    settings = conventions.make_settings("GoogLeNet", details, options)
    conv = partial(settings.make, ConvBN)
    block = partial(
        settings.make, InceptionV1Block, kernel_sizes=details.kernel_sizes
    )
    pool = partial(_halve, ceil_mode=details.ceil_mode)
    inputs = network.image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        minimum=(details.min_size_auxiliary if auxiliary else details.min_size),
        default=DEFAULT_SHAPE,
        fixed_size=auxiliary,
    )
    x = conv(64, 7, 2, details.stem_padding, name="conv_1")(inputs)
    x = pool(x, 3, name="pool_1")
    x = conv(64, 1, name="conv_2")(x)
    x = conv(192, 3, name="conv_3")(x)
    x = pool(x, 3, name="pool_2")
    feature_maps = {}
    for block_name, filters in BLOCKS.items():
        if block_name == "inception_4a":
            x = pool(x, 3, name="pool_3")
        if block_name == "inception_5a":
            x = pool(x, details.last_pool, name="pool_4")
        x = feature_maps[block_name] = block(filters, name=block_name)(x)
    outputs = network.average_top(
        x, settings, include_top, pooling, classes, classifier_activation
    )
    if auxiliary:
        outputs = {"predictions": outputs}
        for head, block_name in AUXILIARY.items():
            outputs[head] = settings.make(
                AuxiliaryClassifier,
                classes,
                classifier_activation,
                adaptive_pooling=details.adaptive_pooling,
                name=head,
            )(feature_maps[block_name])
    return network.make_model(inputs, outputs, name, weights)


def _halve(x, size, name, ceil_mode):
    """Apply a max pooling with strides of 2, and round the size up.

    In torch's `ceil_mode` the last window may extend beyond the end. Zeros,
    which change no maximum after a relu, are added there.
    """
    if not ceil_mode:
        return keras.layers.MaxPooling2D(size, 2, "same", name=name)(x)
    at_end = ((0, 1), (0, 1))
    x = keras.layers.ZeroPadding2D(at_end, name=name.replace("pool", "pad"))(x)
    return keras.layers.MaxPooling2D(size, 2, name=name)(x)
