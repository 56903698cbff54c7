"""What every network shares: the entrance, the top and the weights."""

from pathlib import Path

import keras

DEFAULT_SHAPE = (224, 224, 1)


def image_input(input_tensor, input_shape, *, include_top, minimum):
    """Return the tensor that a network starts from.

    Args:
        input_tensor: a Keras tensor to start from, or None.
        input_shape: `(height, width, channels)`, or with the data format
            `"channels_first"` `(channels, height, width)`; unused beside an
            `input_tensor`. `(224, 224, 1)`, the default of every network, is
            put into the order of the data format.
        include_top: whether dense layers follow, so that height and width
            must be known.
        minimum: the smallest height and width that the network allows.

    Raises:
        ValueError: if the shape is not one the network can take.
    """
    channels_first = keras.config.image_data_format() == "channels_first"
    if input_tensor is not None:
        if not keras.backend.is_keras_tensor(input_tensor):
            raise ValueError(
                "`input_tensor` must be a Keras tensor, the output of "
                f"`keras.Input` or of a layer. Received: {input_tensor!r}"
            )
        shape = tuple(input_tensor.shape[1:])
    else:
        shape = tuple(input_shape)
        if channels_first and shape == DEFAULT_SHAPE:
            shape = (shape[2], *shape[:2])
    size = shape[1:] if channels_first else shape[:2]
    unknown = None in size
    if (
        len(shape) != 3
        or (unknown and include_top)
        or any(n is not None and n < minimum for n in size)
    ):
        order = "(channels, height, width)" if channels_first else (
            "(height, width, channels)"
        )
        raise ValueError(
            f"The input shape must be {order} with height and width of at "
            f"least {minimum}"
            f"{', and known, since include_top=True' if include_top else ''}. "
            f"Received: {shape}"
        )
    if input_tensor is not None:
        return input_tensor
    return keras.Input(shape, name="image")


def dense_top(x, classes, classifier_activation):
    """Return the predictions of VGG16's top: two dense layers and a third."""
    if not isinstance(classes, int) or classes < 1:
        raise ValueError(
            "`classes` must be an integer of at least 1. Received: "
            f"classes={classes!r}"
        )
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(4096, activation="relu", name="fc1")(x)
    x = keras.layers.Dense(4096, activation="relu", name="fc2")(x)
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
        f'`pooling` must be "max", "avg" or None. Received: {pooling!r}'
    )


def finish(inputs, outputs, name, weights):
    """Return the model, with the weights of a file where one is given.

    Raises:
        ValueError: if `weights` is not None and not an existing file.
    """
    if keras.backend.is_keras_tensor(inputs):
        inputs = keras.utils.get_source_inputs(inputs)
        inputs = inputs[0] if len(inputs) == 1 else inputs
    model = keras.Model(inputs, outputs, name=name)
    if weights is not None:
        if not Path(weights).is_file():
            raise ValueError(
                "`weights` must be None or the path of a `.weights.h5` or "
                f"`.keras` file. Received: weights={str(weights)!r}, which "
                "is not a file"
            )
        model.load_weights(weights)
    return model
