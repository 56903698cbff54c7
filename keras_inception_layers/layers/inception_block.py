"""`InceptionBlock`: parallel branches, concatenated along the channels."""

from collections.abc import Sequence
from typing import Unpack

import keras

from keras_inception_layers.layers.composite import (
    Composite,
    build_chain,
    chain_shape,
    run_chain,
)
from keras_inception_layers.layers.conv_options import LayerOptions
from keras_inception_layers.registration import register


@register
class InceptionBlock(Composite):
    """Parallel branches of one input, concatenated along the channels.

    Each branch is a list of layers that are applied one after the other. They
    can be any Keras layers, including another `InceptionBlock`: a branch that
    ends in one splits again. The blocks of the papers are subclasses that
    make their branches from a table of filters.

    Args:
        branches: list of branches, each a non-empty list of Keras layers. The
            outputs of all branches must have the same height and width. No
            two layers may have the same name.
        data_format: `"channels_last"` or `"channels_first"`. It is not passed
            on to the layers of the branches, which keep their own. Defaults
            to `keras.config.image_data_format()`.
        **kwargs: the arguments of every Keras layer: `name`, `dtype`,
            `trainable`, `activity_regularizer`.

    Call arguments:
        inputs: one tensor, the input of every branch.
        training: passed on to every layer.

    Input shape:
        `(batch, height, width, channels)`, or
        `(batch, channels, height, width)` with `"channels_first"`.

    Output shape:
        The shape of the output of a branch, with the channels of all branches.

    Raises:
        ValueError: if `branches` is not a list of lists of layers, or contains
            a layer or a name twice; in `build`, if the outputs of the branches
            cannot be concatenated.

    Example:

    >>> block = InceptionBlock([
    ...     [keras.layers.Conv2D(4, 1)],
    ...     [keras.layers.MaxPooling2D(3, 1, "same"), ConvBN(8, 1)],
    ... ])
    >>> block(keras.Input((16, 16, 3))).shape
    (None, 16, 16, 12)

    Reference:
        Szegedy et al., "Going Deeper with Convolutions", 2014,
        arXiv:1409.4842.
    """

    def __init__(
        self,
        branches: Sequence[Sequence[keras.layers.Layer]],
        data_format: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        _check_branches(branches)
        self.data_format = data_format or keras.config.image_data_format()
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                '`data_format` must be "channels_last" or "channels_first". '
                f"Received: data_format={data_format!r}"
            )
        self.channel_axis = 1 if self.data_format == "channels_first" else -1
        self.branches = [[self.adopt(x) for x in row] for row in branches]

    @property
    def layers(self):
        """The layers of all branches, in order."""
        return [layer for branch in self.branches for layer in branch]

    def build(self, input_shape):
        """Build every layer of every branch."""
        for branch in self.branches:
            build_chain(branch, input_shape)
        self.compute_output_shape(input_shape)

    def call(self, inputs, training=None):
        """Concatenate the outputs of the branches."""
        outputs = [run_chain(branch, inputs) for branch in self.branches]
        return keras.ops.concatenate(outputs, axis=self.channel_axis)

    def compute_output_shape(self, input_shape):
        """Return the shape of the concatenated branches."""
        shapes = [chain_shape(branch, input_shape) for branch in self.branches]
        return _concatenated_shape(shapes, self.channel_axis, self.name)

    def get_config(self):
        """Return the constructor's arguments."""
        return {
            **super().get_config(),
            "branches": [
                [self.as_made(layer) for layer in branch]
                for branch in self.branches
            ],
            "data_format": self.data_format,
        }

    @classmethod
    def from_config(cls, config):
        """Create the block from what `get_config` returned."""
        deserialize = keras.saving.deserialize_keras_object
        branches = [[deserialize(x) for x in b] for b in config["branches"]]
        return cls(**{**config, "branches": branches})


def _check_branches(branches):
    if not (
        isinstance(branches, (list, tuple))
        and branches
        and all(isinstance(b, (list, tuple)) and b for b in branches)
    ):
        raise ValueError(
            "`branches` must be a non-empty list of non-empty lists of Keras "
            f"layers. Received: branches={branches!r}"
        )
    seen: set[str] = set()
    for index, branch in enumerate(branches):
        for layer in branch:
            if not isinstance(layer, keras.layers.Layer):
                raise ValueError(
                    "Every branch must be a list of Keras layers. Received "
                    f"in branch {index}: {layer!r}"
                )
            if layer.name in seen:
                raise ValueError(
                    "The layers of a block must be different, and have "
                    f'different names. Received "{layer.name}" again in '
                    f"branch {index}. Create a second layer."
                )
            seen.add(layer.name)


def _concatenated_shape(shapes, axis, name):
    """Return the shape of a concatenation; None means an unknown size."""
    axes = list(zip(*shapes, strict=False))
    channels = axes[axis]
    axes[axis] = ()
    known = [{size for size in axis if size is not None} for axis in axes]
    if len({len(s) for s in shapes}) > 1 or any(len(k) > 1 for k in known):
        raise ValueError(
            f'The branches of "{name}" cannot be concatenated: their outputs '
            "must be equal in all axes except the channels. Received the "
            f"shapes {shapes}"
        )
    shape = [sizes.pop() if sizes else None for sizes in known]
    shape[axis] = None if None in channels else sum(channels)
    return tuple(shape)
