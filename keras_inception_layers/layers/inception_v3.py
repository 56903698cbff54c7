"""The Inception v3 blocks: n x n kernels factorized into 1 x n and n x 1.

The blocks of the published network are in `inception_v3_stages`.
"""

from keras_inception_layers.layers.branch_table import (
    KernelSizesBlock,
    PaperBlock,
    conv,
    max_pool,
    parallel,
)
from keras_inception_layers.registration import register


@register
class InceptionV3Block(KernelSizesBlock):
    """Inception module with n x n kernels as 1 x n and n x 1, figure 6.

    The paper recommends it for feature maps of 12 to 20 pixels, and not for the
    first layers of a network.

    Args:
        branch_filters: one row of filters per branch, `((1x1,),
            (1x1, both of the first pair), (1x1, both of the second pair),
            (1x1 after the pooling,))`, for example
            `((64,), (96, 128), (16, 32), (32,))`.
        kernel_sizes: pair of integers, the n of the second and of the third
            branch. Defaults to `(3, 5)`.
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

    >>> block = InceptionV3Block(((64,), (96, 128), (16, 32), (32,)))
    >>> block(keras.Input((14, 14, 192))).shape
    (None, 14, 14, 256)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2, 2, 1)

    def _rows(self, a, b, c, d):
        n, m = self.kernel_sizes
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], (1, n)), conv(b[1], (n, 1))],
            [conv(c[0], 1), conv(c[1], (1, m)), conv(c[1], (m, 1))],
            [max_pool(3), conv(d[0], 1)],
        ]


@register
class InceptionV3ExpandedBlock(PaperBlock):
    """Expanded filter bank, 1 x 3 and 3 x 1 in parallel, figure 7.

    The paper uses it on its coarsest grid, 8 x 8, where many channels matter
    more than depth.

    Args:
        branch_filters: one row of filters per branch, `((1x1,),
            (1x1, 1x3 and 3x1 each), (1x1, 3x3 and then 1x3 and 3x1 each),
            (1x1 after the pooling,))`. The 8 x 8 blocks of Inception v3 use
            `((320,), (384, 384), (448, 384), (192,))`.
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

    >>> block = InceptionV3ExpandedBlock(
    ...     ((320,), (384, 384), (448, 384), (192,))
    ... )
    >>> block(keras.Input((8, 8, 1280))).shape
    (None, 8, 8, 2048)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2, 2, 1)

    def _rows(self, a, b, c, d):
        return expanded_bank(a, b, c, d, pooling=[max_pool(3)])


def expanded_bank(a, b, c, d, pooling):
    """Return the table of figure 7, with the given pooling cells."""
    return [
        [conv(a[0], 1)],
        [conv(b[0], 1), expanded(b[1])],
        [conv(c[0], 1), conv(c[1], 3), expanded(c[1])],
        [*pooling, conv(d[0], 1)],
    ]


def expanded(filters):
    """Return a cell for 1 x 3 and 3 x 1 in parallel, with `filters` each."""
    return parallel([conv(filters, (1, 3))], [conv(filters, (3, 1))])
