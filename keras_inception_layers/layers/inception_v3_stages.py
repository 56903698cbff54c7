"""The blocks of the published Inception v3 network, A to E, in order."""

from typing import Unpack

from keras_inception_layers.layers.branch_table import (
    BranchFilters,
    PaperBlock,
    avg_pool,
    conv,
    reducing_conv,
    reducing_pool,
    zero_pad,
)
from keras_inception_layers.layers.conv_options import ConvOptions
from keras_inception_layers.layers.inception_v3 import expanded_bank
from keras_inception_layers.registration import register


class AveragingBlock(PaperBlock):
    """A `PaperBlock` with an average pooling and an argument for its border."""

    def __init__(
        self,
        branch_filters: BranchFilters,
        count_border: bool = False,
        **kwargs: Unpack[ConvOptions],
    ) -> None:
        self.count_border = bool(count_border)
        super().__init__(branch_filters, **kwargs)

    def average_pooling(self):
        """Return the cells of the 3 x 3 average pooling."""
        if self.count_border:
            return [zero_pad(1), avg_pool(3, padding="valid")]
        return [avg_pool(3)]

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "count_border": self.count_border}


@register
class InceptionV3BlockA(AveragingBlock):
    """Block of the 35 x 35 grid: a 5 x 5 kernel, and two of 3 x 3.

    The two 3 x 3 kernels are the factorization of figure 5.

    Args:
        branch_filters: one row of filters per branch,
            `((1x1,), (1x1, 5x5), (1x1, both 3x3), (1x1 after the pooling,))`.
            The first block of Inception v3 uses
            `((64,), (48, 64), (64, 96), (32,))`.
        count_border: whether the zeros beyond the border count in the mean of
            the average pooling. Defaults to `False`.
        **kwargs: options of all convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`; `name`, `dtype` and `trainable` of the block.

    Call arguments:
        inputs: images or feature maps.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`.

    Output shape:
        Same height and width; channels: the sum of the last number of each row.

    Raises:
        ValueError: if an argument does not have this form or is out of range.

    Example:

    >>> block = InceptionV3BlockA(((64,), (48, 64), (64, 96), (32,)))
    >>> block(keras.Input((35, 35, 192))).shape
    (None, 35, 35, 256)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2, 2, 1)

    def _rows(self, a, b, c, d):
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], 5)],
            [conv(c[0], 1), conv(c[1], 3), conv(c[1], 3)],
            [*self.average_pooling(), conv(d[0], 1)],
        ]


@register
class InceptionV3BlockB(PaperBlock):
    """Reduction from 35 x 35 to 17 x 17, figure 10.

    Args:
        branch_filters: one row of filters per branch with convolutions,
            `((3x3,), (1x1, both 3x3))`. Inception v3 uses `((384,), (64, 96))`.
            The third branch, the pooling, has no row.
        **kwargs: options of all convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`; `name`, `dtype` and `trainable` of the block.

    Call arguments:
        inputs: images or feature maps.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`, at
        least 3 x 3.

    Output shape:
        `(n - 1) // 2` for a height or width of `n`. The channels are those of
        the input (from the pooling) plus the last number of each row.

    Raises:
        ValueError: if an argument does not have this form or is out of range.

    Example:

    >>> block = InceptionV3BlockB(((384,), (64, 96)))
    >>> block(keras.Input((35, 35, 288))).shape
    (None, 17, 17, 768)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2)

    def _rows(self, a, b):
        return [
            [reducing_conv(a[0])],
            [conv(b[0], 1), conv(b[1], 3), reducing_conv(b[1])],
            [reducing_pool()],
        ]


@register
class InceptionV3BlockC(AveragingBlock):
    """Block of the 17 x 17 grid: 7 x 7 as 1 x 7 and 7 x 1, figure 6.

    Args:
        branch_filters: one row of filters per branch, `((1x1,),
            (all but the last, last), (all but the last, last),
            (1x1 after the pooling,))`. The first such block of Inception v3
            uses `((192,), (128, 192), (128, 192), (192,))`.
        count_border: whether the zeros beyond the border count in the mean of
            the average pooling. Defaults to `False`.
        **kwargs: options of all convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`; `name`, `dtype` and `trainable` of the block.

    Call arguments:
        inputs: images or feature maps.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`.

    Output shape:
        Same height and width; channels: the sum of the last number of each row.

    Raises:
        ValueError: if an argument does not have this form or is out of range.

    Example:

    >>> block = InceptionV3BlockC(((192,), (128, 192), (128, 192), (192,)))
    >>> block(keras.Input((17, 17, 768))).shape
    (None, 17, 17, 768)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2, 2, 1)

    def _rows(self, a, b, c, d):
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
            [*self.average_pooling(), conv(d[0], 1)],
        ]


@register
class InceptionV3BlockD(PaperBlock):
    """Reduction from 17 x 17 to 8 x 8, with a 7 x 7 in one branch.

    Args:
        branch_filters: one row of filters per branch with convolutions,
            `((1x1, 3x3), (1x1, 1x7 and 7x1 each, 3x3))`. Inception v3 uses
            `((192, 320), (192, 192))`. The third branch, the pooling, has no
            row.
        **kwargs: options of all convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`; `name`, `dtype` and `trainable` of the block.

    Call arguments:
        inputs: images or feature maps.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`, at
        least 3 x 3.

    Output shape:
        `(n - 1) // 2` for a height or width of `n`. The channels are those of
        the input (from the pooling) plus the last number of each row.

    Raises:
        ValueError: if an argument does not have this form or is out of range.

    Example:

    >>> block = InceptionV3BlockD(((192, 320), (192, 192)))
    >>> block(keras.Input((17, 17, 768))).shape
    (None, 8, 8, 1280)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (2, 2)

    def _rows(self, a, b):
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
    """Block of the 8 x 8 grid: the expanded filter bank, figure 7.

    It is `InceptionV3ExpandedBlock` with average pooling.

    Args:
        branch_filters: one row of filters per branch, `((1x1,),
            (1x1, 1x3 and 3x1 each), (1x1, 3x3 and then 1x3 and 3x1 each),
            (1x1 after the pooling,))`. Inception v3 uses
            `((320,), (384, 384), (448, 384), (192,))`.
        count_border: whether the zeros beyond the border count in the mean of
            the average pooling. Defaults to `False`.
        **kwargs: options of all convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`; `name`, `dtype` and `trainable` of the block.

    Call arguments:
        inputs: images or feature maps.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`.

    Output shape:
        The same height and width. Rows that end in `a`, `b`, `c` and `d` give
        `a + 2 * b + 2 * c + d` channels.

    Raises:
        ValueError: if an argument does not have this form or is out of range.

    Example:

    >>> block = InceptionV3BlockE(((320,), (384, 384), (448, 384), (192,)))
    >>> block(keras.Input((8, 8, 1280))).shape
    (None, 8, 8, 2048)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2, 2, 1)

    def _rows(self, a, b, c, d):
        return expanded_bank(a, b, c, d, pooling=self.average_pooling())
