"""`ResidualBlock`, the base of blocks that add their input."""

from collections.abc import Callable
from numbers import Real
from typing import Unpack

import keras

from keras_inception_layers.layers.branch_table import (
    BranchFilters,
    PaperBlock,
    conv,
    parallel,
)
from keras_inception_layers.layers.conv_options import ConvOptions


def residual(*rows, filters):
    """Return the table of a residual block: parallel rows and a projection.

    The projection is a 1 x 1 convolution with a bias, without batch
    normalization and activation.
    """
    projection = conv(filters, 1, use_batch_norm=False, activation=None)
    return [[parallel(*rows), projection]]


class ResidualBlock(PaperBlock):
    """A `PaperBlock` whose scaled output is added to its input.

    An activation (`output_activation`) is applied to the sum.
    """

    def __init__(
        self,
        branch_filters: BranchFilters,
        residual_scale: float | Real,
        output_activation: str | Callable | None = "relu",
        **kwargs: Unpack[ConvOptions],
    ) -> None:
        if not isinstance(residual_scale, Real) or (float(residual_scale) <= 0):
            raise ValueError(
                "`residual_scale` must be a number greater than 0. Received: "
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
        """Add the scaled branches to the input, then apply the activation."""
        branches = super().call(inputs)
        return self.output_activation(inputs + self.residual_scale * branches)

    def compute_output_shape(self, input_shape):
        """Return the input shape, after checking that the branches keep it."""
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
