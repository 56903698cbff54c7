"""Blocks that add their input to the concatenated branches."""

from numbers import Real

import keras

from keras_inception_layers.layers.branch_table import (
    PaperBlock,
    conv,
    parallel,
)


def residual(*rows, filters):
    """Return the table of a residual block: parallel rows and a projection.

    The projection is a 1 x 1 convolution with a bias, without batch
    normalization or activation.
    """
    projection = conv(filters, 1, use_batch_norm=False, activation=None)
    return [[parallel(*rows), projection]]


class ResidualBlock(PaperBlock):
    """A `PaperBlock` that adds its input to its scaled branches.

    Args:
        branch_filters: one row of filters per branch, and one for the
            projection: the number of channels of the input.
        residual_scale: factor by which the branches are multiplied before the
            input is added.
        output_activation: name or function, applied to the sum; `None` for
            none. Defaults to `"relu"`.

    Output shape:
        The same as the input's.

    Raises:
        ValueError: if an argument does not have that form; in `build`, if the
            last row is not the number of the input's channels.
    """

    def __init__(
        self,
        branch_filters,
        residual_scale,
        output_activation="relu",
        **kwargs,
    ):
        if not isinstance(residual_scale, Real) or (float(residual_scale) <= 0):
            raise ValueError(
                "`residual_scale` must be greater than 0. Received: "
                f"residual_scale={residual_scale!r}"
            )
        if isinstance(output_activation, keras.layers.Layer):
            raise ValueError(
                "`output_activation` must be a name, a function or None. "
                f"Received the layer {output_activation!r}"
            )
        super().__init__(branch_filters, **kwargs)
        self.residual_scale = float(residual_scale)
        self.output_activation = keras.activations.get(output_activation)

    def call(self, inputs, training=None):
        """Add the scaled branches to the input and activate the sum."""
        step = super().call(inputs)
        return self.output_activation(inputs + self.residual_scale * step)

    def compute_output_shape(self, input_shape):
        """Return the input's shape, which the branches must keep."""
        shape = super().compute_output_shape(input_shape)
        if shape[self.channel_axis] != input_shape[self.channel_axis]:
            raise ValueError(
                f'"{self.name}" adds its branches to its input, so the last '
                "row of `branch_filters` must be the number of the input's "
                f"channels. Received: branch_filters={self.branch_filters}, "
                f"input_shape={tuple(input_shape)}"
            )
        return shape

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "residual_scale": self.residual_scale,
            "output_activation": keras.activations.serialize(
                self.output_activation
            ),
        }
