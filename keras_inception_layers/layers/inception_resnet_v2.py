"""The Inception-ResNet v2 blocks: Inception with the input added.

Filters are those of the network that the authors published, which keras and
timm have; the paper's figures have more channels between the blocks.
"""

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    avg_pool,
    conv,
)
from keras_inception_layers.layers.inception_v4 import (
    InceptionV4ReductionA,
    reducing_conv,
    reducing_pool,
)
from keras_inception_layers.layers.residual_block import (
    ResidualBlock,
    residual,
)
from keras_inception_layers.registration import register


@register
class InceptionResNetV2Mixed5b(PaperBlock):
    """The one block without a residual, before the 35 x 35 ones.

    Args:
        branch_filters: one row a branch, `((1x1,), (1x1, 5x5), (1x1, 3x3,
            3x3), (1x1 after the pooling,))`. Inception-ResNet v2 has
            `((96,), (48, 64), (64, 96, 96), (64,))`.
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

    >>> block = InceptionResNetV2Mixed5b(
    ...     ((96,), (48, 64), (64, 96, 96), (64,))
    ... )
    >>> block(keras.Input((35, 35, 192))).shape
    (None, 35, 35, 320)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (1, 2, 3, 1)

    def rows(self, a, b, c, d):
        """Return the block as a table."""
        return [
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], 5)],
            [conv(c[0], 1), conv(c[1], 3), conv(c[2], 3)],
            [avg_pool(3), conv(d[0], 1)],
        ]


@register
class InceptionResNetV2BlockA(ResidualBlock):
    """The 35 x 35 block: 3 x 3 and two 3 x 3, figure 16.

    Args:
        branch_filters: one row a branch and one for the projection,
            `((1x1,), (1x1, 3x3), (1x1, 3x3, 3x3), (projection,))`.
            Inception-ResNet v2 has
            `((32,), (32, 32), (32, 48, 64), (320,))`.
        residual_scale: what the branches are multiplied by before the input
            is added. The published network has `0.17` here.
        output_activation: name or function, applied to the sum; `None` for
            none. Defaults to `"relu"`.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`.

    Output shape:
        The same as the input's.

    Raises:
        ValueError: if an argument does not have that form; in `build`, if the
            last row is not the number of the input's channels.

    Example:

    >>> block = InceptionResNetV2BlockA(
    ...     ((32,), (32, 32), (32, 48, 64), (320,)), residual_scale=0.17
    ... )
    >>> block(keras.Input((35, 35, 320))).shape
    (None, 35, 35, 320)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (1, 2, 3, 1)

    def rows(self, a, b, c, projection):
        """Return the figure as a table."""
        return residual(
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], 3)],
            [conv(c[0], 1), conv(c[1], 3), conv(c[2], 3)],
            filters=projection[0],
        )


@register
class InceptionResNetV2BlockB(ResidualBlock):
    """The 17 x 17 block: 7 x 7 as 1 x 7, then 7 x 1, figure 17.

    Args:
        branch_filters: one row a branch and one for the projection,
            `((1x1,), (1x1, 1x7, 7x1), (projection,))`.
            Inception-ResNet v2 has `((192,), (128, 160, 192), (1088,))`.
        residual_scale: what the branches are multiplied by before the input
            is added. The published network has `0.1` here.
        output_activation: name or function, applied to the sum; `None` for
            none. Defaults to `"relu"`.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`.

    Output shape:
        The same as the input's.

    Raises:
        ValueError: if an argument does not have that form; in `build`, if the
            last row is not the number of the input's channels.

    Example:

    >>> block = InceptionResNetV2BlockB(
    ...     ((192,), (128, 160, 192), (1088,)), residual_scale=0.1
    ... )
    >>> block(keras.Input((17, 17, 1088))).shape
    (None, 17, 17, 1088)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (1, 3, 1)

    def rows(self, a, b, projection):
        """Return the figure as a table."""
        return residual(
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], (1, 7)), conv(b[2], (7, 1))],
            filters=projection[0],
        )


@register
class InceptionResNetV2BlockC(ResidualBlock):
    """The 8 x 8 block: 3 x 3 as 1 x 3, then 3 x 1, figure 19.

    Args:
        branch_filters: one row a branch and one for the projection,
            `((1x1,), (1x1, 1x3, 3x1), (projection,))`.
            Inception-ResNet v2 has `((192,), (192, 224, 256), (2080,))`.
        residual_scale: what the branches are multiplied by before the input
            is added. The published network has `0.2` here.
        output_activation: name or function, applied to the sum; `None` for
            none. Defaults to `"relu"`.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`.

    Output shape:
        The same as the input's.

    Raises:
        ValueError: if an argument does not have that form; in `build`, if the
            last row is not the number of the input's channels.

    Example:

    >>> block = InceptionResNetV2BlockC(
    ...     ((192,), (192, 224, 256), (2080,)), residual_scale=0.2
    ... )
    >>> block(keras.Input((8, 8, 2080))).shape
    (None, 8, 8, 2080)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (1, 3, 1)

    def rows(self, a, b, projection):
        """Return the figure as a table."""
        return residual(
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], (1, 3)), conv(b[2], (3, 1))],
            filters=projection[0],
        )


@register
class InceptionResNetV2ReductionA(InceptionV4ReductionA):
    """From 35 x 35 to 17 x 17: the reduction of Inception v4, figure 7.

    Args:
        branch_filters: one row a branch with filters, `((3x3,), (1x1, 3x3,
            3x3))`. Inception-ResNet v2 has `((384,), (256, 256, 384))`.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`; at least
        3 x 3.

    Output shape:
        What a "valid" 3 x 3 by 2 leaves of height and width; the last
        numbers of the rows and the input's channels add up to the channels.

    Raises:
        ValueError: if `branch_filters` does not have that form.

    Example:

    >>> block = InceptionResNetV2ReductionA(((384,), (256, 256, 384)))
    >>> block(keras.Input((35, 35, 320))).shape
    (None, 17, 17, 1088)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """


@register
class InceptionResNetV2ReductionB(PaperBlock):
    """From 17 x 17 to 8 x 8, figure 18.

    Args:
        branch_filters: one row a branch with filters, `((1x1, 3x3), (1x1,
            3x3), (1x1, 3x3, 3x3))`. Inception-ResNet v2 has
            `((256, 384), (256, 288), (256, 288, 320))`.
        **kwargs: the arguments of `ConvBN` from `data_format` to
            `bias_constraint`, for every convolution, and those of every
            Keras layer: `name`, `dtype`, `trainable`.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`; at least
        3 x 3.

    Output shape:
        What a "valid" 3 x 3 by 2 leaves of height and width; the last
        numbers of the rows and the input's channels add up to the channels.

    Raises:
        ValueError: if `branch_filters` does not have that form.

    Example:

    >>> block = InceptionResNetV2ReductionB(
    ...     ((256, 384), (256, 288), (256, 288, 320))
    ... )
    >>> block(keras.Input((17, 17, 1088))).shape
    (None, 8, 8, 2080)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """

    row_lengths = (2, 2, 3)

    def rows(self, a, b, c):
        """Return the figure as a table."""
        return [
            [conv(a[0], 1), reducing_conv(a[1])],
            [conv(b[0], 1), reducing_conv(b[1])],
            [conv(c[0], 1), conv(c[1], 3), reducing_conv(c[2])],
            [reducing_pool()],
        ]
