"""The Inception-ResNet v2 blocks: Inception blocks that add their input.

The numbers of filters in the docstrings are those of the network that the
authors published, which Keras and timm follow. The paper's figures have more
channels between the blocks.
"""

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    conv,
    reducing_conv,
    reducing_pool,
)
from keras_inception_layers.layers.inception_v4 import InceptionV4ReductionA
from keras_inception_layers.layers.residual_block import (
    ResidualBlock,
    residual,
)
from keras_inception_layers.registration import register


@register
class InceptionResNetV2BlockA(ResidualBlock):
    """Residual block of the 35 x 35 grid: a 3 x 3, and two 3 x 3, figure 16.

    Args:
        branch_filters: one row of filters per branch and one for the
            projection, `((1x1,), (1x1, 3x3), (1x1, 3x3, 3x3), (projection,))`.
            Inception-ResNet v2 uses `((32,), (32, 32), (32, 48, 64), (320,))`.
        residual_scale: factor of the branches' output before the input is
            added. The published network uses `0.17` here.
        output_activation: name or function that is applied to the sum, or
            `None` or `False` for no activation. Defaults to `"relu"`.
        **kwargs: options of all convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`; `name`, `dtype` and `trainable` of the block.
            The projection always has a bias, no batch normalization and no
            activation.

    Call arguments:
        inputs: images or feature maps.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: if an argument does not have this form or is out of range;
            in `build`, if the projection does not have as many filters as the
            input has channels.

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

    def _rows(self, a, b, c, projection):
        return residual(
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], 3)],
            [conv(c[0], 1), conv(c[1], 3), conv(c[2], 3)],
            filters=projection[0],
        )


@register
class InceptionResNetV2BlockB(ResidualBlock):
    """Residual block of the 17 x 17 grid: 7 x 7 as 1 x 7 and 7 x 1, figure 17.

    Args:
        branch_filters: one row of filters per branch and one for the
            projection, `((1x1,), (1x1, 1x7, 7x1), (projection,))`.
            Inception-ResNet v2 uses `((192,), (128, 160, 192), (1088,))`.
        residual_scale: factor of the branches' output before the input is
            added. The published network uses `0.1` here.
        output_activation: name or function that is applied to the sum, or
            `None` or `False` for no activation. Defaults to `"relu"`.
        **kwargs: options of all convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`; `name`, `dtype` and `trainable` of the block.
            The projection always has a bias, no batch normalization and no
            activation.

    Call arguments:
        inputs: images or feature maps.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: if an argument does not have this form or is out of range;
            in `build`, if the projection does not have as many filters as the
            input has channels.

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

    def _rows(self, a, b, projection):
        return residual(
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], (1, 7)), conv(b[2], (7, 1))],
            filters=projection[0],
        )


@register
class InceptionResNetV2BlockC(ResidualBlock):
    """Residual block of the 8 x 8 grid: 3 x 3 as 1 x 3 and 3 x 1, figure 19.

    Args:
        branch_filters: one row of filters per branch and one for the
            projection, `((1x1,), (1x1, 1x3, 3x1), (projection,))`.
            Inception-ResNet v2 uses `((192,), (192, 224, 256), (2080,))`.
        residual_scale: factor of the branches' output before the input is
            added. The published network uses `0.2` here.
        output_activation: name or function that is applied to the sum, or
            `None` or `False` for no activation. Defaults to `"relu"`.
        **kwargs: options of all convolutions, as in `ConvBN` from `data_format`
            to `bias_constraint`; `name`, `dtype` and `trainable` of the block.
            The projection always has a bias, no batch normalization and no
            activation.

    Call arguments:
        inputs: images or feature maps.
        training: whether to normalize with the statistics of the batch.

    Input shape:
        `(batch, height, width, channels)` in the order of `data_format`.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: if an argument does not have this form or is out of range;
            in `build`, if the projection does not have as many filters as the
            input has channels.

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

    def _rows(self, a, b, projection):
        return residual(
            [conv(a[0], 1)],
            [conv(b[0], 1), conv(b[1], (1, 3)), conv(b[2], (3, 1))],
            filters=projection[0],
        )


@register
class InceptionResNetV2ReductionA(InceptionV4ReductionA):
    """Reduction from 35 x 35 to 17 x 17, as in Inception v4, figure 7.

    Args:
        branch_filters: one row of filters per branch with convolutions,
            `((3x3,), (1x1, 3x3, 3x3))`. Inception-ResNet v2 uses
            `((384,), (256, 256, 384))`.
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

    >>> block = InceptionResNetV2ReductionA(((384,), (256, 256, 384)))
    >>> block(keras.Input((35, 35, 320))).shape
    (None, 17, 17, 1088)

    Reference:
        Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of
        Residual Connections on Learning", 2016, arXiv:1602.07261.
    """


@register
class InceptionResNetV2ReductionB(PaperBlock):
    """Reduction from 17 x 17 to 8 x 8, figure 18.

    Args:
        branch_filters: one row of filters per branch with convolutions,
            `((1x1, 3x3), (1x1, 3x3), (1x1, 3x3, 3x3))`. Inception-ResNet v2
            uses `((256, 384), (256, 288), (256, 288, 320))`.
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

    def _rows(self, a, b, c):
        return [
            [conv(a[0], 1), reducing_conv(a[1])],
            [conv(b[0], 1), reducing_conv(b[1])],
            [conv(c[0], 1), conv(c[1], 3), reducing_conv(c[2])],
            [reducing_pool()],
        ]
