"""What the networks share: input, top, conventions and weights."""

from dataclasses import dataclass, replace
from numbers import Integral
from os import PathLike
from pathlib import Path

import keras

from keras_inception_layers.layers.conv_bn import check_positive_integer
from keras_inception_layers.porting.keras_applications import (
    port_keras_applications_weights,
)
from keras_inception_layers.side_heads import drop_auxiliary

DEFAULT_SHAPE = (224, 224, 1)
IMAGENET_SHAPE = (299, 299, 3)


@dataclass(frozen=True)
class Convention:
    """Details in which the published implementations of a network differ.

    Args:
        scale: whether batch normalization learns a scale.
        epsilon: number that batch normalization adds to the variance.
        dropout: fraction of the features dropped before the classifier.
    """

    scale: bool
    epsilon: float
    dropout: float

    @property
    def batch_norm(self):
        """The options of every batch normalization."""
        return {"scale": self.scale, "epsilon": self.epsilon}


def image_input(
    input_tensor,
    input_shape,
    *,
    include_top,
    minimum,
    default=DEFAULT_SHAPE,
    fixed_size=False,
):
    """Return the input tensor of a network.

    Args:
        input_tensor: a Keras tensor to use as input, or None.
        input_shape: `(height, width, channels)`, or with the data format
            `"channels_first"` `(channels, height, width)`; ignored if there
            is an `input_tensor`. The network's default is converted to the
            data format. None means the default if there is a top, otherwise
            unknown height and width.
        include_top: whether the network has its classifier.
        minimum: minimum height and width that the network supports.
        default: the network's default shape. Defaults to `(224, 224, 1)`.
        fixed_size: whether height and width must be known, because dense
            layers read every pixel of the feature maps. Defaults to `False`.

    Raises:
        ValueError: if the network does not support the shape.
    """
    channels_first = keras.config.image_data_format() == "channels_first"
    order = (
        "(channels, height, width)"
        if channels_first
        else "(height, width, channels)"
    )
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor):
            raise ValueError(
                "`input_tensor` must be a Keras tensor, such as the output of "
                f"`keras.Input` or of a layer. Received: {input_tensor!r}"
            )
        shape = tuple(input_tensor.shape[1:])
    else:
        if input_shape is None and not include_top:
            default = (None, None, default[2])
        shape = default if input_shape is None else input_shape
        if isinstance(shape, list):
            shape = tuple(shape)
        if channels_first and shape == default:
            shape = (shape[2], *shape[:2])
    if not _fits(shape, channels_first, fixed_size, minimum):
        known = ", and known, for the dense layers" if fixed_size else ""
        raise ValueError(
            f"The input shape must be {order}, with the channels known and "
            f"height and width at least {minimum}{known}. Received: {shape!r}"
        )
    if input_tensor is not None:
        return input_tensor
    return keras.Input(shape, name="image")


def _fits(shape, channels_first, fixed_size, minimum):
    if not isinstance(shape, tuple) or len(shape) != 3:
        return False
    channels, *size = shape if channels_first else (shape[2], *shape[:2])
    if not fixed_size:
        size = [n for n in size if n is not None]
    return (
        all(isinstance(n, Integral) for n in (channels, *size))
        and channels > 0
        and all(n >= minimum for n in size)
    )


def dense_top(x, classes, classifier_activation):
    """Return the predictions of VGG16's top, which has three dense layers."""
    classes = check_positive_integer("classes", classes)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(4096, activation="relu", name="fc1")(x)
    x = keras.layers.Dense(4096, activation="relu", name="fc2")(x)
    return keras.layers.Dense(
        classes, activation=classifier_activation, name="predictions"
    )(x)


def average_top(x, classes, classifier_activation, dropout):
    """Return the predictions of a top that averages the feature maps."""
    classes = check_positive_integer("classes", classes)
    x = keras.layers.GlobalAveragePooling2D(name="global_avg_pool")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.layers.Dense(
        classes, activation=classifier_activation, name="predictions"
    )(x)


def global_pooling(x, pooling):
    """Return the features of a network without its top.

    Raises:
        ValueError: if `pooling` is not `"max"`, `"avg"` or None.
    """
    if pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name="global_max_pool")(x)
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="global_avg_pool")(x)
    if pooling is None:
        return x
    raise ValueError(
        f'`pooling` must be "max", "avg" or None. Received: pooling={pooling!r}'
    )


def get_convention(conventions, convention):
    """Return the convention of that name.

    Raises:
        ValueError: if there is none.
    """
    if convention not in conventions:
        names = ", ".join(f'"{name}"' for name in conventions)
        raise ValueError(
            f"`convention` must be one of {names}. Received: "
            f"convention={convention!r}"
        )
    return conventions[convention]


def check_auxiliary(auxiliary, include_top):
    """Raise ValueError if side heads are requested without the top."""
    if auxiliary and not include_top:
        raise ValueError(
            "`auxiliary=True` adds side heads to the classifier and needs "
            "include_top=True. Received: include_top=False"
        )


def check_imagenet(weights, inputs, conventions, convention):
    """Raise ValueError if the published weights do not fit the network.

    Args:
        weights: the user's argument; only `"imagenet"` is checked.
        inputs: the tensor that `image_input` returned.
        conventions: those of the network; the weights belong to `"keras"`.
        convention: name of the requested convention.
    """
    if weights != "imagenet":
        return
    fitting = [
        name
        for name, details in conventions.items()
        if replace(details, dropout=0.0) == conventions["keras"]
    ]
    if convention not in fitting:
        names = " or ".join(f'"{name}"' for name in fitting)
        raise ValueError(
            f'`weights="imagenet"` needs the convention {names}. Received: '
            f"convention={convention!r}"
        )
    first = keras.config.image_data_format() == "channels_first"
    if inputs.shape[1 if first else -1] != 3:
        raise ValueError(
            '`weights="imagenet"` needs images of three channels. Received '
            f"the input shape {inputs.shape[1:]}"
        )


def make_model(inputs, outputs, name, weights, published=None):
    """Return the model, with the requested weights.

    Args:
        inputs: the tensor that `image_input` returned.
        outputs: the network's outputs.
        name: name of the model.
        weights: None, the path of a file or, for a network with `published`
            weights, `"imagenet"`.
        published: function that returns the same network of
            `keras.applications`, called with `weights="imagenet"`. Defaults
            to `None`.

    Raises:
        ValueError: if `weights` is none of these.
    """
    inputs = keras.utils.get_source_inputs(inputs)
    inputs = inputs[0] if len(inputs) == 1 else inputs
    model = keras.Model(inputs, outputs, name=name)
    if weights is None:
        return model
    if published and weights == "imagenet":
        source = published(weights="imagenet")
        port_keras_applications_weights(source, drop_auxiliary(model))
        return model
    if not isinstance(weights, (str, PathLike)) or not Path(weights).is_file():
        known = 'None, "imagenet"' if published else "None"
        raise ValueError(
            f"`weights` must be {known} or the path of a `.weights.h5` or "
            f"`.keras` file. Received: weights={weights!r}, which is not "
            "a file"
        )
    model.load_weights(weights)
    return model
