"""The Inception v1 block: four parallel branches."""

from keras_inception_layers.layers.branch_table import (
    KernelSizesBlock,
    conv,
    max_pool,
)
from keras_inception_layers.registration import register


@register
class InceptionV1Block(KernelSizesBlock):
    """Inception module with dimension reduction, figure 2(b).

    A 1 x 1 convolution reduces the channels before each larger kernel.

    Args:
        branch_filters: one row of filters per branch,
            `((1x1,), (1x1, 3x3), (1x1, 5x5), (1x1 after the pooling,))`, for
            example `((64,), (96, 128), (16, 32), (32,))`.
        kernel_sizes: pair of integers, the size of the larger kernel in the
            second and in the third branch. Defaults to `(3, 5)`.
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

    >>> block = InceptionV1Block(((64,), (96, 128), (16, 32), (32,)))
    >>> block(keras.Input((28, 28, 192))).shape
    (None, 28, 28, 256)

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014,
        arXiv:1409.4842.
    """

    row_lengths = (1, 2, 2, 1)

    def _rows(self, a, b, c, d):
        n, m = self.kernel_sizes
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], n)],
            [conv(c[0], 1), conv(c[1], m)],
            [max_pool(3), conv(d[0], 1)],
        ]
