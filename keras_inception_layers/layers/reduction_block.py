"""`ReductionBlock`, the base of blocks that halve height and width."""

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    conv,
    max_pool,
)


def reducing_conv(filters):
    """Return a cell for a 3 x 3 convolution that halves height and width."""
    return conv(filters, 3, strides=2, padding="valid")


def reducing_pool():
    """Return a cell for a 3 x 3 max pooling that halves height and width."""
    return max_pool(3, 2, "valid")


class ReductionBlock(PaperBlock):
    """A `PaperBlock` in which every branch ends in a reducing cell.

    The last branch is the pooling, which has no row of filters.
    """
