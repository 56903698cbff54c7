"""A block that halves height and width, and what it does that with."""

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    conv,
    max_pool,
)


def reducing_conv(filters):
    """A 3 x 3 convolution that halves height and width."""
    return conv(filters, 3, strides=2, padding="valid")


def reducing_pool():
    """A max pooling that does the same."""
    return max_pool(3, 2, "valid")


class ReductionBlock(PaperBlock):
    """A `PaperBlock` whose every branch ends in such a layer.

    Args:
        branch_filters: one row of filters a branch with convolutions. The
            last branch, the pooling, takes none.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`; at least
        3 x 3.

    Output shape:
        Height and width are what a `"valid"` 3 x 3 kernel by strides of 2
        leaves; the channels are the last numbers of the rows and those of
        the input.
    """
