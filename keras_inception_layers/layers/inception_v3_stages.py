"""The blocks of the Inception v3 network, A to E, in the order it has them."""

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    avg_pool,
    conv,
    max_pool,
    zero_pad,
)
from keras_inception_layers.layers.inception_v3 import expanded
from keras_inception_layers.registration import register


class AveragingBlock(PaperBlock):
    """A table with an average pooling, whose border counts or does not.

    Args:
        branch_filters: one row of filters a branch.
        count_border: whether the zeros beyond the border are part of a mean.
            Defaults to `False`.
        **kwargs: those of `PaperBlock`.
    """

    def __init__(self, branch_filters, count_border=False, **kwargs):
        self.count_border = bool(count_border)
        super().__init__(branch_filters, **kwargs)

    def mean(self):
        """Return the cells of the 3 x 3 average pooling."""
        if self.count_border:
            return [zero_pad(1), avg_pool(3, padding="valid")]
        return [avg_pool(3)]

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "count_border": self.count_border}


def halve(filters):
    """A 3 x 3 convolution that halves height and width."""
    return conv(filters, 3, strides=2, padding="valid")


@register
class InceptionV3BlockA(AveragingBlock):
    """The block on the 35 x 35 grid: the 3 x 3 pair of figure 5, and a 5 x 5.

    Args:
        branch_filters: one row a branch, `((1x1,), (1x1, 5x5), (1x1, both
            3x3), (1x1 after the pooling,))`; the network's first is
            `((64,), (48, 64), (64, 96), (32,))`.
        count_border: whether the zeros beyond the border are part of a mean
            of the average pooling. Defaults to `False`.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`.

    Output shape:
        The same height and width; as many channels as the last numbers of
        the four rows add up to.

    Raises:
        ValueError: if `branch_filters` does not have that form.

    Example:

    >>> block = InceptionV3BlockA(((64,), (48, 64), (64, 96), (32,)))
    >>> block(keras.Input((35, 35, 192))).shape
    (None, 35, 35, 256)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2, 2, 1)

    def rows(self, a, b, c, d):
        """Return the figure as a table."""
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], 5)],
            [conv(c[0], 1), conv(c[1], 3), conv(c[1], 3)],
            [*self.mean(), conv(d[0], 1)],
        ]


@register
class InceptionV3BlockB(PaperBlock):
    """The reduction from 35 x 35 to 17 x 17, figure 10.

    Args:
        branch_filters: one row a branch with convolutions, `((3x3,), (1x1,
            both 3x3))`; the network's is `((384,), (64, 96))`. The third
            branch, the pooling, takes none.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`; at least
        3 x 3.

    Output shape:
        Height and width are what a `"valid"` 3 x 3 kernel by strides of 2
        leaves; the channels are the last numbers of the rows and those of
        the input.

    Raises:
        ValueError: if `branch_filters` does not have that form.

    Example:

    >>> block = InceptionV3BlockB(((384,), (64, 96)))
    >>> block(keras.Input((35, 35, 288))).shape
    (None, 17, 17, 768)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2)

    def rows(self, a, b):
        """Return the figure as a table."""
        return [
            [halve(a[0])],
            [conv(b[0], 1), conv(b[1], 3), halve(b[1])],
            [max_pool(3, 2, "valid")],
        ]


@register
class InceptionV3BlockC(AveragingBlock):
    """The block on the 17 x 17 grid: 7 x 7 as 1 x 7 and 7 x 1, figure 6.

    Args:
        branch_filters: one row a branch, `((1x1,), (all but the last, last),
            (all but the last, last), (1x1 after the pooling,))`; the
            network's first is `((192,), (128, 192), (128, 192), (192,))`.
        count_border: whether the zeros beyond the border are part of a mean
            of the average pooling. Defaults to `False`.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`.

    Output shape:
        The same height and width; as many channels as the last numbers of
        the four rows add up to.

    Raises:
        ValueError: if `branch_filters` does not have that form.

    Example:

    >>> block = InceptionV3BlockC(((192,), (128, 192), (128, 192), (192,)))
    >>> block(keras.Input((17, 17, 768))).shape
    (None, 17, 17, 768)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2, 2, 1)

    def rows(self, a, b, c, d):
        """Return the figure as a table."""
        wide, tall = (1, 7), (7, 1)
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[0], wide), conv(b[1], tall)],
            [
                conv(c[0], 1),
                conv(c[0], tall),
                conv(c[0], wide),
                conv(c[0], tall),
                conv(c[1], wide),
            ],
            [*self.mean(), conv(d[0], 1)],
        ]


@register
class InceptionV3BlockD(PaperBlock):
    """The reduction from 17 x 17 to 8 x 8, with a 7 x 7 before one branch.

    Args:
        branch_filters: one row a branch with convolutions, `((1x1, 3x3),
            (1x1, 1x7 and 7x1 each, 3x3))`; the network's is
            `((192, 320), (192, 192))`. The third branch, the pooling, takes
            none.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`; at least
        3 x 3.

    Output shape:
        Height and width are what a `"valid"` 3 x 3 kernel by strides of 2
        leaves; the channels are the last numbers of the rows and those of
        the input.

    Raises:
        ValueError: if `branch_filters` does not have that form.

    Example:

    >>> block = InceptionV3BlockD(((192, 320), (192, 192)))
    >>> block(keras.Input((17, 17, 768))).shape
    (None, 8, 8, 1280)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (2, 2)

    def rows(self, a, b):
        """Return the figure as a table."""
        return [
            [conv(a[0], 1), halve(a[1])],
            [
                conv(b[0], 1),
                conv(b[0], (1, 7)),
                conv(b[0], (7, 1)),
                halve(b[1]),
            ],
            [max_pool(3, 2, "valid")],
        ]


@register
class InceptionV3BlockE(AveragingBlock):
    """The block on the 8 x 8 grid: the expanded filter bank, figure 7.

    `InceptionV3ExpandedBlock` with the network's average pooling.

    Args:
        branch_filters: one row a branch, `((1x1,), (1x1, 1x3 and 3x1 each),
            (1x1, 3x3 and then 1x3 and 3x1 each), (1x1 after the
            pooling,))`; the network's is
            `((320,), (384, 384), (448, 384), (192,))`.
        count_border: whether the zeros beyond the border are part of a mean
            of the average pooling. Defaults to `False`.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`.

    Output shape:
        The same height and width. The rows end in `a`, `b`, `c` and `d`
        filters: `a + 2 * b + 2 * c + d` channels.

    Raises:
        ValueError: if `branch_filters` does not have that form.

    Example:

    >>> block = InceptionV3BlockE(((320,), (384, 384), (448, 384), (192,)))
    >>> block(keras.Input((8, 8, 1280))).shape
    (None, 8, 8, 2048)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2, 2, 1)

    def rows(self, a, b, c, d):
        """Return the figure as a table."""
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), expanded(b[1])],
            [conv(c[0], 1), conv(c[1], 3), expanded(c[1])],
            [*self.mean(), conv(d[0], 1)],
        ]
