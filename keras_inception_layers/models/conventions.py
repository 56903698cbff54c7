"""The options that the networks share, and the conventions they follow.

A convention holds the values of one published implementation. `Settings` are
those values after the user's options, applied to each layer that a network
makes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import keras

from keras_inception_layers.layers.conv_options import (
    KernelOptions,
    clone_initializers,
    kernel_options,
)

# Types of the arguments that all networks have.
Weights = str | PathLike[str] | None
Shape = Sequence[int | None] | None
Pooling = Literal["max", "avg"] | None

ORDER = (
    "Arguments are in the order of `keras.applications`: include_top, weights, "
    "input_tensor, input_shape, pooling, classes; pass them by name."
)


class PlainOptions(KernelOptions, total=False):
    """The options of a network without batch normalization."""

    dropout: float | None


class NetworkOptions(PlainOptions, total=False):
    """The options of every other network."""

    use_batch_norm: bool | None
    momentum: float | None
    epsilon: float | None
    scale: bool | None
    synchronized: bool | None


def random_normal(stddev: float) -> dict:
    """Return the config of an initializer.

    Layers that share an unseeded object would start with identical kernels.
    """
    return {"class_name": "RandomNormal", "config": {"stddev": stddev}}


# torch's default: uniform between plus and minus the square root of 1 / fan-in.
TORCH_UNIFORM = {
    "class_name": "VarianceScaling",
    "config": {"scale": 1 / 3, "mode": "fan_in", "distribution": "uniform"},
}


@dataclass(frozen=True)
class Convention:
    """Details in which the published implementations of a network differ.

    Args:
        scale: whether batch normalization learns a scale.
        epsilon: number that batch normalization adds to the variance.
        momentum: momentum of the moving statistics.
        kernel_initializer: name or config of the initializer of every kernel.
        dropout: fraction of the features dropped before the classifier.
    """

    scale: bool = False
    epsilon: float = 1e-3
    momentum: float = 0.99
    kernel_initializer: str | dict = "glorot_uniform"
    dropout: float = 0.0


@dataclass(frozen=True)
class Settings:
    """The values that a network is built with.

    Args:
        layer_options: options of every convolution, as in `ConvBN`.
        dropout: fraction of the features dropped before the classifier.
    """

    layer_options: Mapping[str, Any]
    dropout: float

    def make(self, layer: Callable, *arguments, **options):
        """Return a layer made with the options that apply to it."""
        shared = clone_initializers(self.layer_options)
        if layer in (keras.layers.Conv2D, keras.layers.Dense):
            shared = kernel_options(shared)
        return layer(*arguments, **shared, **options)


def make_settings(network, convention, options, known=NetworkOptions):
    """Return the settings of a network, after a check of the user's options.

    `known` is the `TypedDict` that declares them.
    """
    names = known.__optional_keys__
    for name in options:
        if name not in names:
            raise TypeError(
                f"{network} has no argument `{name}`. Beside those in its "
                f"signature it has the options {', '.join(sorted(names))}."
            )
    values = {k: v for k, v in vars(convention).items() if k in names}
    values |= {k: v for k, v in options.items() if v is not None}
    dropout = values.pop("dropout")
    return Settings(values, dropout)


def get_convention(conventions, convention):
    """Return the convention of that name, or raise a ValueError."""
    if convention not in conventions:
        names = ", ".join(f'"{name}"' for name in conventions)
        raise ValueError(
            f"`convention` must be one of {names}. Received: "
            f"convention={convention!r}"
        )
    return conventions[convention]
