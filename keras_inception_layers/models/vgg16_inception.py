"""The hybrid: VGG16 with Inception blocks as its third and fifth block."""

from typing import Any, Unpack

import keras

from keras_inception_layers.layers.auxiliary_classifier import (
    AuxiliaryClassifier,
)
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_v1 import InceptionV1Block
from keras_inception_layers.layers.inception_v3 import InceptionV3Block
from keras_inception_layers.models import conventions, network

MIN_SIZE = 32  # of height and width, in pixels
FILTERS_3 = ((64,), (96, 128), (16, 32), (32,))
FILTERS_5 = ((128,), (192, 256), (32, 64), (64,))

# The layers before each pooling: name, class and arguments.
BLOCKS: tuple[list[tuple[str, Any, tuple]], ...] = (
    [(f"block1_conv{n}", ConvBN, (64, 3)) for n in (1, 2)],
    [(f"block2_conv{n}", ConvBN, (128, 3)) for n in (1, 2)],
    [(f"block_3_{n}", InceptionV1Block, (FILTERS_3,)) for n in (1, 2, 3)],
    [(f"block4_conv{n}", ConvBN, (512, 3)) for n in (1, 2, 3)],
    [(f"block_5_{n}", InceptionV3Block, (FILTERS_5,)) for n in (1, 2, 3)],
)
# The last layer whose feature maps have 1/1, 1/2, ... of the height and width.
LEVELS = {
    0: "block1_conv2",
    1: "block2_conv2",
    2: "block_3_3",
    3: "block4_conv3",
    4: "block_5_3",
    5: "block5_pool",
}
# The side head after the pooling of a block.
AUXILIARY = {3: "auxiliary_1", 4: "auxiliary_2"}


def VGG16Inception(
    include_top: bool = True,
    weights: conventions.Weights = None,
    input_tensor: keras.KerasTensor | None = None,
    input_shape: conventions.Shape = network.DEFAULT_SHAPE,
    pooling: conventions.Pooling = "max",
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    name: str = "vgg16_inception",
    *,
    auxiliary: bool = False,
    **options: Unpack[conventions.NetworkOptions],
) -> keras.Model:
    """Return the hybrid of VGG16 and Inception.

    It is VGG16 with batch normalization, in which three Inception v1 blocks
    replace the third block and three Inception v3 blocks the fifth. At the
    default shape it has 132,084,920 parameters; without the top 8,442,064.
    `extract_features` returns its feature maps.

    The arguments are in the order of `keras.applications`. Two defaults
    come from the notebook that introduced this network: one channel, because
    its images are gray, and `pooling="max"`.

    Args:
        include_top: whether to add the three dense layers. Defaults to `True`.
        weights: path of a file that this network was saved to, or `None` for
            random weights. Defaults to `None`.
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
        name: name of the model. Defaults to `"vgg16_inception"`.
        auxiliary: whether to return a model for training with two side heads,
            after the pooling of blocks 3 and 4. Its outputs are a dictionary of
            `predictions`, `auxiliary_1` and `auxiliary_2`; the loss weight of
            each side head should be `AUXILIARY_LOSS_WEIGHT` (0.3).
            `drop_auxiliary` returns the model without them. Needs the top and
            images of at least 80 x 80. Defaults to `False`.
        **options: options of every convolution, as in `ConvBN`: `momentum`,
            `epsilon`, `scale`, `synchronized`, `use_batch_norm`; options of
            convolutions and dense layers, from `kernel_initializer` to
            `bias_constraint`; and `dropout`, the fraction of the features that
            training drops after each hidden dense layer, by default none.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`; without
        the top `(batch, 512)`, or feature maps of 1/32 of the height and width.

    Raises:
        ValueError: if an argument is out of range.
        TypeError: if an option is unknown.

    Example:

    >>> model = VGG16Inception(
    ...     include_top=False, input_shape=(32, 32, 1), pooling="avg"
    ... )
    >>> model.output_shape
    (None, 512)
    """
    network.check_auxiliary(auxiliary, include_top)
    settings = conventions.make_settings(
        "VGG16Inception", conventions.Convention(), options
    )
    inputs = x = network.image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        minimum=80 if auxiliary else MIN_SIZE,
        fixed_size=include_top,
    )
    side_heads = {}
    for number, block in enumerate(BLOCKS, start=1):
        for layer_name, layer, arguments in block:
            x = settings.make(layer, *arguments, name=layer_name)(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
        if auxiliary and number in AUXILIARY:
            head = AUXILIARY[number]
            side_heads[head] = settings.make(
                AuxiliaryClassifier, classes, classifier_activation, name=head
            )(x)
    outputs = network.dense_top(
        x, settings, include_top, pooling, classes, classifier_activation
    )
    if auxiliary:
        outputs = {"predictions": outputs, **side_heads}
    return network.make_model(inputs, outputs, name, weights)
