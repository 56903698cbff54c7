"""The Inception v4 blocks: one stem, three blocks, two reductions.

Where the paper's figures and its authors' code differ in the order of 1 x n and
n x 1, the blocks follow the code, because the published weights belong to it.
"""

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    avg_pool,
    conv,
    parallel,
    reducing_conv,
    reducing_pool,
)
from keras_inception_layers.layers.inception_v3 import expanded
from keras_inception_layers.registration import register


def valid_conv(filters, kernel_size):
    """Return a cell for a convolution that the figures mark with a V."""
    return conv(filters, kernel_size, padding="valid")


@register
class InceptionV4Stem(PaperBlock):
    """Stem, from the image to an eighth of its size, figure 3.

    Args:
        branch_filters: one row of filters per branch of the figure, from the
            image on: `((3x3, 3x3, 3x3), (3x3 beside the pooling,), (1x1, 3x3),
            (1x1, 1x7, 7x1, 3x3), (3x3 beside the pooling,))`. Inception v4 uses
            `((32, 32, 64), (96,), (64, 96), (64, 64, 64, 96), (192,))`.
        **kwargs: options of all convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`; `name`, `dtype` and `trainable` of the block.

    Call arguments:
        inputs: images or feature maps.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`, at
        least 27 x 27.

    Output shape:
        About 1/8 of the height and width: 299 becomes 35. The channels are the
        sum of the last numbers of the last three rows.

    Raises:
        ValueError: if an argument does not have this form or is out of range.

    Example:

    >>> stem = InceptionV4Stem(
    ...     ((32, 32, 64), (96,), (64, 96), (64, 64, 64, 96), (192,))
    ... )
    >>> stem(keras.Input((299, 299, 3))).shape
    (None, 35, 35, 384)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (3, 1, 2, 4, 1)

    def _rows(self, a, b, c, d, e):
        return [
            [
                reducing_conv(a[0]),
                valid_conv(a[1], 3),
                conv(a[2], 3),
                parallel([reducing_pool()], [reducing_conv(b[0])]),
                parallel(
                    [conv(c[0], 1), valid_conv(c[1], 3)],
                    [
                        conv(d[0], 1),
                        conv(d[1], (1, 7)),
                        conv(d[2], (7, 1)),
                        valid_conv(d[3], 3),
                    ],
                ),
                parallel([reducing_conv(e[0])], [reducing_pool()]),
            ]
        ]


@register
class InceptionV4BlockA(PaperBlock):
    """Block of the 35 x 35 grid: a 3 x 3, and two 3 x 3, figure 4.

    Args:
        branch_filters: one row of filters per branch,
            `((1x1,), (1x1, 3x3), (1x1, 3x3, 3x3), (1x1 after the pooling,))`.
            Inception v4 uses `((96,), (64, 96), (64, 96, 96), (96,))`.
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

    >>> block = InceptionV4BlockA(((96,), (64, 96), (64, 96, 96), (96,)))
    >>> block(keras.Input((35, 35, 384))).shape
    (None, 35, 35, 384)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (1, 2, 3, 1)

    def _rows(self, a, b, c, d):
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], 3)],
            [conv(c[0], 1), conv(c[1], 3), conv(c[2], 3)],
            [avg_pool(3), conv(d[0], 1)],
        ]


@register
class InceptionV4BlockB(PaperBlock):
    """Block of the 17 x 17 grid: a 7 x 7, and two 7 x 7, figure 5.

    Each 7 x 7 kernel is factorized into 1 x 7 and 7 x 1.

    Args:
        branch_filters: one row of filters per branch, `((1x1,),
            (1x1, 1x7, 7x1), (1x1, 7x1, 1x7, 7x1, 1x7),
            (1x1 after the pooling,))`. Inception v4 uses
            `((384,), (192, 224, 256), (192, 192, 224, 224, 256), (128,))`.
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

    >>> block = InceptionV4BlockB(
    ...     ((384,), (192, 224, 256), (192, 192, 224, 224, 256), (128,))
    ... )
    >>> block(keras.Input((17, 17, 1024))).shape
    (None, 17, 17, 1024)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (1, 3, 5, 1)

    def _rows(self, a, b, c, d):
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], (1, 7)), conv(b[2], (7, 1))],
            [
                conv(c[0], 1),
                conv(c[1], (7, 1)),
                conv(c[2], (1, 7)),
                conv(c[3], (7, 1)),
                conv(c[4], (1, 7)),
            ],
            [avg_pool(3), conv(d[0], 1)],
        ]


@register
class InceptionV4BlockC(PaperBlock):
    """Block of the 8 x 8 grid: 1 x 3 and 3 x 1 in parallel, figure 6.

    Args:
        branch_filters: one row of filters per branch, `((1x1,),
            (1x1, 1x3 and 3x1 each), (1x1, 3x1, 1x3 and then 1x3 and 3x1 each),
            (1x1 after the pooling,))`. Inception v4 uses
            `((256,), (384, 256), (384, 448, 512, 256), (256,))`.
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

    >>> block = InceptionV4BlockC(
    ...     ((256,), (384, 256), (384, 448, 512, 256), (256,))
    ... )
    >>> block(keras.Input((8, 8, 1536))).shape
    (None, 8, 8, 1536)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (1, 2, 4, 1)

    def _rows(self, a, b, c, d):
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), expanded(b[1])],
            [
                conv(c[0], 1),
                conv(c[1], (3, 1)),
                conv(c[2], (1, 3)),
                expanded(c[3]),
            ],
            [avg_pool(3), conv(d[0], 1)],
        ]


@register
class InceptionV4ReductionA(PaperBlock):
    """Reduction from 35 x 35 to 17 x 17, figure 7.

    Args:
        branch_filters: one row of filters per branch with convolutions,
            `((3x3,), (1x1, 3x3, 3x3))`. Inception v4 uses
            `((384,), (192, 224, 256))`.
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

    >>> block = InceptionV4ReductionA(((384,), (192, 224, 256)))
    >>> block(keras.Input((35, 35, 384))).shape
    (None, 17, 17, 1024)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (1, 3)

    def _rows(self, a, b):
        return [
            [reducing_conv(a[0])],
            [conv(b[0], 1), conv(b[1], 3), reducing_conv(b[2])],
            [reducing_pool()],
        ]


@register
class InceptionV4ReductionB(PaperBlock):
    """Reduction from 17 x 17 to 8 x 8, figure 8.

    Args:
        branch_filters: one row of filters per branch with convolutions,
            `((1x1, 3x3), (1x1, 1x7, 7x1, 3x3))`. Inception v4 uses
            `((192, 192), (256, 256, 320, 320))`.
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

    >>> block = InceptionV4ReductionB(((192, 192), (256, 256, 320, 320)))
    >>> block(keras.Input((17, 17, 1024))).shape
    (None, 8, 8, 1536)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (2, 4)

    def _rows(self, a, b):
        return [
            [conv(a[0], 1), reducing_conv(a[1])],
            [
                conv(b[0], 1),
                conv(b[1], (1, 7)),
                conv(b[2], (7, 1)),
                reducing_conv(b[3]),
            ],
            [reducing_pool()],
        ]
