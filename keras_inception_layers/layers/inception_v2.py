"""The Inception v2 block: the 5 x 5 kernel is factorized into two 3 x 3."""

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    conv,
    max_pool,
)
from keras_inception_layers.registration import register


@register
class InceptionV2Block(PaperBlock):
    """Inception module with the 5 x 5 kernel factorized, figure 5.

    Two 3 x 3 kernels have the receptive field of one 5 x 5 kernel, with 18
    weights instead of 25 and one more activation.

    Args:
        branch_filters: one row of filters per branch, `((1x1,), (1x1, 3x3),
            (1x1, each of the two 3x3), (1x1 after the pooling,))`, for example
            `((64,), (96, 128), (16, 32), (32,))`.
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

    >>> block = InceptionV2Block(((64,), (96, 128), (16, 32), (32,)))
    >>> block(keras.Input((28, 28, 192))).shape
    (None, 28, 28, 256)

    Reference:
        Szegedy et al., "Rethinking the Inception Architecture for Computer
        Vision", 2015, arXiv:1512.00567.
    """

    row_lengths = (1, 2, 2, 1)

    def _rows(self, a, b, c, d):
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], 3)],
            [conv(c[0], 1), conv(c[1], 3), conv(c[1], 3)],
            [max_pool(3), conv(d[0], 1)],
        ]
