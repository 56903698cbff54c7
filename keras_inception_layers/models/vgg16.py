"""VGG16, the network that the hybrid is based on."""

import keras

from keras_inception_layers.models.network import (
    DEFAULT_SHAPE,
    dense_top,
    documented,
    finish,
    global_pooling,
    image_input,
)

SMALLEST = 32  # height and width
# Filters and number of 3 x 3 convolutions before each pooling.
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


@documented(SMALLEST, fixed_top=True)
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

    With three channels its weights can be exchanged with those of
    `keras.applications.VGG16`: same layers, names and order.

    Args:
        include_top: whether the three dense layers follow. Defaults to
            `True`.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`;
        without the top `(batch, 512)`, or feature maps of 1/32 of the height
        and width.

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
        minimum=SMALLEST,
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
    return finish(inputs, outputs, name, weights)
