"""What the networks share: input, top and model."""

from numbers import Integral

import keras

from keras_inception_layers.layers.conv_bn import check_positive_integer
from keras_inception_layers.layers.conv_options import get_activation
from keras_inception_layers.models.conventions import ORDER
from keras_inception_layers.models.weights import load_weights

DEFAULT_SHAPE = (224, 224, 1)
IMAGENET_SHAPE = (299, 299, 3)


def image_input(
    input_tensor,
    input_shape,
    *,
    include_top,
    minimum,
    default=DEFAULT_SHAPE,
    fixed_size=False,
):
    """Return the input tensor of a network, after a check of its shape.

    The network's `default` shape is converted to the data format. `fixed_size`
    networks have dense layers that read every pixel of the feature maps.
    """
    channels_first = keras.config.image_data_format() == "channels_first"
    order = "channels, height, width"
    if not channels_first:
        order = "height, width, channels"
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor):
            raise ValueError(
                "`input_tensor` must be a Keras tensor, such as the output of "
                f"`keras.Input` or of a layer. Received: {input_tensor!r}. "
                f"{ORDER}"
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
        hint = "" if isinstance(shape, tuple) else f". {ORDER}"
        raise ValueError(
            f"The input shape must be ({order}), with the channels known and "
            f"height and width at least {minimum}{known}. Received: {shape!r}"
            f"{hint}"
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


def dense_top(
    x, settings, include_top, pooling, classes, classifier_activation
):
    """Return the outputs of VGG16, whose top has three dense layers."""
    if not include_top:
        return _global_pooling(x, pooling)
    x = keras.layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        dense = settings.make(
            keras.layers.Dense, 4096, activation="relu", name=f"fc{number}"
        )
        x = _drop(dense(x), settings, name=f"dropout{number}")
    return _predictions(x, classes, classifier_activation, settings)


def average_top(
    x, settings, include_top, pooling, classes, classifier_activation
):
    """Return the outputs of a network whose top averages the feature maps."""
    if not include_top:
        return _global_pooling(x, pooling)
    x = keras.layers.GlobalAveragePooling2D(name="global_avg_pool")(x)
    x = _drop(x, settings, name="dropout")
    return _predictions(x, classes, classifier_activation, settings)


def _drop(x, settings, name):
    if not settings.dropout:
        return x
    return keras.layers.Dropout(settings.dropout, name=name)(x)


def _predictions(x, classes, classifier_activation, settings):
    classes = check_positive_integer("classes", classes)
    return settings.make(
        keras.layers.Dense,
        classes,
        activation=get_activation(classifier_activation),
        name="predictions",
    )(x)


def _global_pooling(x, pooling):
    """Return the features of a network without its top."""
    if pooling == "max":
        return keras.layers.GlobalMaxPooling2D(name="global_max_pool")(x)
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name="global_avg_pool")(x)
    if pooling is None:
        return x
    raise ValueError(
        f'`pooling` must be "max", "avg" or None. Received: pooling={pooling!r}'
    )


def check_auxiliary(auxiliary, include_top):
    """Raise ValueError if side heads are requested without the top."""
    if auxiliary and not include_top:
        raise ValueError(
            "`auxiliary=True` adds side heads to the classifier and needs "
            "include_top=True. Received: include_top=False"
        )


def make_model(inputs, outputs, name, weights, published=None):
    """Return the model, with the requested weights (see `load_weights`)."""
    images = inputs
    inputs = keras.utils.get_source_inputs(inputs)
    inputs = inputs[0] if len(inputs) == 1 else inputs
    model = keras.Model(inputs, outputs, name=name)
    load_weights(model, weights, images, published)
    return model
