"""VGG16, the network that the hybrid is based on."""

import keras

from keras_inception_layers.models.network import (
    DEFAULT_SHAPE,
    dense_top,
    global_pooling,
    image_input,
    make_model,
)

MIN_SIZE = 32  # of height and width, in pixels
# Filters and number of the 3 x 3 convolutions before each max pooling.
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def VGG16(
    include_top=True,
    input_tensor=None,
    input_shape=DEFAULT_SHAPE,
    pooling="max",
    classes=1000,
    classifier_activation="softmax",
    name="vgg16",
    weights=None,
):
    """Return VGG16: thirteen 3 x 3 convolutions in five blocks.

    With three channels its weights are interchangeable with those of
    `keras.applications.VGG16`: same layers, same names, same order.

    Args:
        include_top: whether to add the three dense layers. Defaults to `True`.
        input_tensor: a Keras tensor to use as input, instead of `input_shape`.
            Defaults to `None`.
        input_shape: height, width and channels in the order of
            `keras.config.image_data_format()`, at least 32 x 32. Height and
            width may be `None` without the top. `None` means the default shape
            with the top, and unknown height and width without it. Defaults to
            `(224, 224, 1)`.
        pooling: global pooling without the top: `"max"`, `"avg"`, or `None` for
            feature maps. Defaults to `"max"`.
        classes: number of classes of the top. Defaults to `1000`.
        classifier_activation: activation of the last layer; `None` returns
            logits. Defaults to `"softmax"`.
        name: name of the model. Defaults to `"vgg16"`.
        weights: path of a `.weights.h5` or `.keras` file, or `None` for random
            weights. Defaults to `None`.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`; without
        the top `(batch, 512)`, or feature maps of 1/32 of the height and width.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> model = VGG16(include_top=False, input_shape=(32, 32, 3))
    >>> model.output_shape
    (None, 512)

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for
        Large-Scale Image Recognition", 2014, arXiv:1409.1556.
    """
    inputs = x = image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        minimum=MIN_SIZE,
        fixed_size=include_top,
    )
    for block, (filters, depth) in enumerate(BLOCKS, start=1):
        for number in range(1, depth + 1):
            x = keras.layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                name=f"block{block}_conv{number}",
            )(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    if include_top:
        outputs = dense_top(x, classes, classifier_activation)
    else:
        outputs = global_pooling(x, pooling)
    return make_model(inputs, outputs, name, weights)
