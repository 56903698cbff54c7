"""GoogLeNet, the first Inception network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras

from keras_inception_layers.layers.auxiliary_classifier import (
    AuxiliaryClassifier,
)
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_v1 import InceptionV1Block
from keras_inception_layers.models.network import (
    Convention,
    average_top,
    check_auxiliary,
    documented,
    finish,
    global_pooling,
    image_input,
    select_convention,
)

DEFAULT_SHAPE = (224, 224, 3)
# Table 1: the filters of each block.
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
# The block whose output each side head reads.
AUXILIARY = {"auxiliary_1": "inception_4a", "auxiliary_2": "inception_4d"}


@dataclass(frozen=True)
class GoogLeNetConvention(Convention):
    """The details in which implementations of GoogLeNet differ.

    Args:
        use_batch_norm: whether it normalizes, unless it is told otherwise.
        kernel_sizes: of the second and the third branch of a block.
        stem_padding: of the 7 x 7 convolution, as in `ConvBN`.
        ceil_mode: whether a max pooling starts at the first pixel and rounds
            its size up; else it is `"same"`.
        last_pool: height and width of the last max pooling.
        adaptive_pooling: that of the side heads.
        smallest: height and width of the smallest images that it takes.
        smallest_auxiliary: the same with the side heads.
    """

    use_batch_norm: bool
    kernel_sizes: tuple[int, int]
    stem_padding: int | str
    ceil_mode: bool
    last_pool: int
    adaptive_pooling: bool
    smallest: int
    smallest_auxiliary: int


# Where the published implementations differ; "paper" is table 1 and figure 3.
CONVENTIONS = {
    "paper": GoogLeNetConvention(
        scale=False,
        epsilon=1e-3,
        dropout=0.4,
        use_batch_norm=False,
        kernel_sizes=(3, 5),
        stem_padding="same",
        ceil_mode=False,
        last_pool=3,
        adaptive_pooling=False,
        smallest=1,
        smallest_auxiliary=65,
    ),
    "torchvision": GoogLeNetConvention(
        scale=True,
        epsilon=1e-3,
        dropout=0.2,
        use_batch_norm=True,
        kernel_sizes=(3, 3),
        stem_padding=3,
        ceil_mode=True,
        last_pool=2,
        adaptive_pooling=True,
        smallest=15,
        smallest_auxiliary=15,
    ),
}
SMALLEST = CONVENTIONS["paper"].smallest  # height and width


@documented(SMALLEST)
def GoogLeNet(
    include_top=True,
    weights=None,
    input_tensor=None,
    input_shape=DEFAULT_SHAPE,
    pooling=None,
    classes=1000,
    classifier_activation="softmax",
    name="googlenet",
    convention="paper",
    auxiliary=False,
    use_batch_norm=None,
):
    """Return GoogLeNet: a stem and nine Inception v1 blocks, table 1.

    At the default shape it has 6,998,552 parameters, without batch
    normalization; 13,378,280 with the side heads. The features of a
    backbone are at `conv_1`, `conv_3`, `inception_3b`, `inception_4e` and
    `inception_5b`, each with half the height and width of the one before.

    The local response normalization after the first two stages of figure 3 is
    left out: the paper gives no constants for it, it has no weights, and batch
    normalization has replaced it.

    Args:
        input_shape: height, width and channels, in the order of
            `keras.config.image_data_format()`; of any size with the
            convention `"paper"`, of at least 15 x 15 with `"torchvision"`.
            Height and width may be `None` without the side heads. `None`
            stands for the default shape with the top, and for any height
            and width without it.
        convention: the implementation to follow: `"paper"`, or
            `"torchvision"`, which has 3 x 3 kernels instead of 5 x 5, batch
            normalization, and other paddings and poolings. Defaults to
            `"paper"`.
        auxiliary: whether to return a model for training with two side
            heads, on `inception_4a` and `inception_4d`. Its outputs are a
            dictionary of `predictions`, `auxiliary_1` and `auxiliary_2`;
            give each side head's loss the weight `AUXILIARY_LOSS_WEIGHT`
            (0.3). `drop_auxiliary` returns the model without them. Needs
            the top and images of known size, with `"paper"` of at least
            65 x 65. Defaults to `False`.
        use_batch_norm: whether to normalize behind each convolution, in
            place of its bias. Defaults to `None`, as the convention has it:
            `"torchvision"` does, `"paper"` does not.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`;
        without the top `(batch, 1024)`, or feature maps of about 1/32 of the
        height and width.

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
    check_auxiliary(auxiliary, include_top)
    details = select_convention(CONVENTIONS, convention)
    if use_batch_norm is None:
        use_batch_norm = details.use_batch_norm
    options = {"use_batch_norm": use_batch_norm, **details.batch_norm}
    conv: Callable[..., ConvBN] = partial(ConvBN, **options)
    block: Callable[..., InceptionV1Block] = partial(
        InceptionV1Block, kernel_sizes=details.kernel_sizes, **options
    )
    pool = partial(_halve, ceil_mode=details.ceil_mode)
    inputs = image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        minimum=(details.smallest_auxiliary if auxiliary else details.smallest),
        default=DEFAULT_SHAPE,
        fixed_size=auxiliary,
    )
    x = conv(64, 7, 2, details.stem_padding, name="conv_1")(inputs)
    x = pool(x, 3, name="pool_1")
    x = conv(64, 1, name="conv_2")(x)
    x = conv(192, 3, name="conv_3")(x)
    x = pool(x, 3, name="pool_2")
    maps = {}
    for place, filters in BLOCKS.items():
        if place == "inception_4a":
            x = pool(x, 3, name="pool_3")
        if place == "inception_5a":
            x = pool(x, details.last_pool, name="pool_4")
        x = maps[place] = block(filters, name=place)(x)
    if include_top:
        outputs = average_top(
            x, classes, classifier_activation, details.dropout
        )
    else:
        outputs = global_pooling(x, pooling)
    if auxiliary:
        outputs = {"predictions": outputs}
        for head, place in AUXILIARY.items():
            outputs[head] = AuxiliaryClassifier(
                classes,
                classifier_activation,
                adaptive_pooling=details.adaptive_pooling,
                name=head,
                **options,
            )(maps[place])
    return finish(inputs, outputs, name, weights)


def _halve(x, size, name, ceil_mode):
    """Return a max pooling with strides of 2, with the size rounded up.

    In torch's `ceil_mode` the windows start at the first pixel and the last
    one may exceed the end. The zeros there change no maximum, since the values
    after a relu are not negative.
    """
    if not ceil_mode:
        return keras.layers.MaxPooling2D(size, 2, "same", name=name)(x)
    over = ((0, 1), (0, 1))
    x = keras.layers.ZeroPadding2D(over, name=name.replace("pool", "pad"))(x)
    return keras.layers.MaxPooling2D(size, 2, name=name)(x)
