"""The blocks of the Inception v3 network, A to E, in their order in it."""

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    avg_pool,
    conv,
    zero_pad,
)
from keras_inception_layers.layers.inception_v3 import expanded_bank
from keras_inception_layers.layers.reduction_block import (
    ReductionBlock,
    reducing_conv,
    reducing_pool,
)
from keras_inception_layers.registration import register


class AveragingBlock(PaperBlock):
    """A table with an average pooling that may count the border.

    Args:
        count_border: whether the average pooling includes the zeros beyond
            the border. Defaults to `False`.
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


@register
class InceptionV3BlockA(AveragingBlock):
    """The 35 x 35 block: two 3 x 3 as in figure 5, and a 5 x 5.

    Args:
        branch_filters: one row per branch, `((1x1,), (1x1, 5x5), (1x1, both
            3x3), (1x1 after the pooling,))`; the network's first is
            `((64,), (48, 64), (64, 96), (32,))`.

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
class InceptionV3BlockB(ReductionBlock):
    """The reduction from 35 x 35 to 17 x 17, figure 10.

    Args:
        branch_filters: one row per branch with convolutions, `((3x3,), (1x1,
            both 3x3))`; the network's is `((384,), (64, 96))`. The third
            branch, the pooling, has none.

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
            [reducing_conv(a[0])],
            [conv(b[0], 1), conv(b[1], 3), reducing_conv(b[1])],
            [reducing_pool()],
        ]


@register
class InceptionV3BlockC(AveragingBlock):
    """The 17 x 17 block: 7 x 7 as 1 x 7 and 7 x 1, figure 6.

    Args:
        branch_filters: one row per branch, `((1x1,), (all but the last, last),
            (all but the last, last), (1x1 after the pooling,))`; the
            network's first is `((192,), (128, 192), (128, 192), (192,))`.

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
class InceptionV3BlockD(ReductionBlock):
    """The reduction from 17 x 17 to 8 x 8, with a 7 x 7 before one branch.

    Args:
        branch_filters: one row per branch with convolutions, `((1x1, 3x3),
            (1x1, 1x7 and 7x1 each, 3x3))`; the network's is
            `((192, 320), (192, 192))`. The third branch, the pooling, has
            none.

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
            [conv(a[0], 1), reducing_conv(a[1])],
            [
                conv(b[0], 1),
                conv(b[0], (1, 7)),
                conv(b[0], (7, 1)),
                reducing_conv(b[1]),
            ],
            [reducing_pool()],
        ]


@register
class InceptionV3BlockE(AveragingBlock):
    """The 8 x 8 block: the expanded filter bank, figure 7.

    `InceptionV3ExpandedBlock` with the network's average pooling.

    Args:
        branch_filters: one row per branch, `((1x1,), (1x1, 1x3 and 3x1 each),
            (1x1, 3x3 and then 1x3 and 3x1 each), (1x1 after the
            pooling,))`; the network's is
            `((320,), (384, 384), (448, 384), (192,))`.

    Output shape:
        The same height and width. If the rows end in `a`, `b`, `c` and `d`
        filters, there are `a + 2 * b + 2 * c + d` channels.

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
        return expanded_bank(a, b, c, d, pooling=self.mean())
