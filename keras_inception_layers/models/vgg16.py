"""VGG16, the plain network that the hybrid starts from."""

import keras

from keras_inception_layers.models.network import (
    DEFAULT_SHAPE,
    dense_top,
    finish,
    global_pooling,
    image_input,
)

# Filters and number of the 3 x 3 convolutions before each pooling.
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
        include_top: whether the three dense layers follow. Defaults to
            `True`.
        input_tensor: a Keras tensor to start from, in place of
            `input_shape`. Defaults to `None`.
        input_shape: height, width and channels, in the order of
            `keras.config.image_data_format()`; at least 32 x 32. Without the
            top, height and width may be `None`. Defaults to
            `(224, 224, 1)`.
        pooling: without the top, the global pooling that follows: `"max"`,
            `"avg"`, or `None` for the feature maps. Defaults to `"max"`.
        classes: number of classes of the top. Defaults to `1000`.
        classifier_activation: of the last layer; `None` gives logits.
            Defaults to `"softmax"`.
        name: name of the model. Defaults to `"vgg16"`.
        weights: path of a `.weights.h5` or `.keras` file, or `None` for
            random weights. Defaults to `None`.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`;
        without the top `(batch, 512)`, or feature maps of 1/32 of the height
        and width.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> model = VGG16(include_top=False, input_shape=(32, 32, 3))
    >>> model.output_shape
    (None, 512)

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for
        Large-Scale Image Recognition", 2014, arXiv:1409.1556.
    """
    inputs = x = image_input(
        input_tensor, input_shape, include_top=include_top, minimum=32
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
    return finish(inputs, outputs, name, weights)
