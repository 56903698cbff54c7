"""VGG16, the network that the hybrid is based on."""

from functools import partial
from typing import Any, Unpack

import keras

from keras_inception_layers.models import conventions, network
from keras_inception_layers.models.weights import check_imagenet, is_imagenet

MIN_SIZE = 32  # of height and width, in pixels
IMAGENET_SHAPE = (224, 224, 3)
# Filters and number of the 3 x 3 convolutions before each max pooling.
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
# The last layer whose feature maps have 1/1, 1/2, ... of the height and width.
LEVELS = {
    0: "block1_conv2",
    1: "block2_conv2",
    2: "block3_conv3",
    3: "block4_conv3",
    4: "block5_conv3",
    5: "block5_pool",
}


def VGG16(
    include_top: bool = True,
    weights: conventions.Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: conventions.Shape = network.DEFAULT_SHAPE,
    pooling: conventions.Pooling = "max",
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "vgg16",
    **options: Unpack[conventions.PlainOptions],
) -> keras.Model:
    """Return VGG16: thirteen 3 x 3 convolutions in five blocks.

    With three channels its weights are interchangeable with those of
    `keras.applications.VGG16`: same layers, same names, same order.
    `extract_features` returns its feature maps.

    The arguments are in the order of `keras.applications`. Two defaults
    come from the notebook that this package began with: one channel, because
    its images are gray, and `pooling="max"`.

    Args:
        include_top: whether to add the three dense layers. Defaults to `True`.
        weights: `"imagenet"` for those of `keras.applications` (which need
            three channels, the default then), the path of a file that this
            network or that of `keras.applications` was saved to (`.weights.h5`,
            `.h5` or `.keras`), or `None` for random weights. Defaults to
            `None`.
        input_tensor: a Keras tensor to use as input. Defaults to `None`.
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
        **options: options of every convolution and dense layer, as in `ConvBN`
            from `kernel_initializer` to `bias_constraint`; and `dropout`, the
            fraction of the features that training drops after each hidden dense
            layer: 0.5 in the paper, by default none.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`; without
        the top `(batch, 512)`, or feature maps of 1/32 of the height and width.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if an option is unknown.

    Example:

    >>> model = VGG16(include_top=False, input_shape=(32, 32, 3))
    >>> model.output_shape
    (None, 512)

    Reference:
        Simonyan and Zisserman, "Very Deep Convolutional Networks for
        Large-Scale Image Recognition", 2014, arXiv:1409.1556.
    """
    settings = conventions.make_settings(
        "VGG16", conventions.Convention(), options, conventions.PlainOptions
    )
    default = IMAGENET_SHAPE if is_imagenet(weights) else network.DEFAULT_SHAPE
    inputs = x = network.image_input(
        input_tensor,
        default if input_shape is network.DEFAULT_SHAPE else input_shape,
        include_top=include_top,
        minimum=MIN_SIZE,
        default=default,
        fixed_size=include_top,
    )
    check_imagenet(weights, inputs, size=224 if include_top else None)
    for block, (filters, depth) in enumerate(BLOCKS, start=1):
        for number in range(1, depth + 1):
            x = settings.make(
                keras.layers.Conv2D,
                filters,
                3,
                padding="same",
                activation="relu",
                name=f"block{block}_conv{number}",
            )(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    outputs = network.dense_top(
        x, settings, include_top, pooling, classes, classifier_activation
    )
    published = partial(
        keras.applications.VGG16, include_top=include_top, classes=classes
    )
    return network.make_model(inputs, outputs, name, weights, published)
