"""Blocks that halve height and width, and the cells for that."""

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    conv,
    max_pool,
)


def reducing_conv(filters):
    """Return a cell for a 3 x 3 convolution that halves height and width."""
    return conv(filters, 3, strides=2, padding="valid")


def reducing_pool():
    """Return a cell for a max pooling that halves height and width."""
    return max_pool(3, 2, "valid")


class ReductionBlock(PaperBlock):
    """A `PaperBlock` whose branches all halve height and width.

    Args:
        branch_filters: one row of filters per branch with convolutions. The
            last branch, the pooling, has none.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`; at least
        3 x 3.

    Output shape:
        Height and width as after a `"valid"` 3 x 3 kernel with strides of 2;
        the number of channels is the sum of the last numbers of the rows
        and the channels of the input.
    """
