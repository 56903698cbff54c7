"""VGG16 with Inception blocks instead of its third and fifth block."""

import keras

from keras_inception_layers.layers.auxiliary_classifier import (
    AuxiliaryClassifier,
)
from keras_inception_layers.layers.conv_bn import ConvBN
from keras_inception_layers.layers.inception_v1 import InceptionV1Block
from keras_inception_layers.layers.inception_v3 import InceptionV3Block
from keras_inception_layers.models.network import (
    DEFAULT_SHAPE,
    check_auxiliary,
    dense_top,
    documented,
    finish,
    global_pooling,
    image_input,
)

SMALLEST = 32  # height and width
FILTERS_3 = ((64,), (96, 128), (16, 32), (32,))
FILTERS_5 = ((128,), (192, 256), (32, 64), (64,))

# The layers before each pooling: name, class and arguments.
BLOCKS = (
    (
        ("block1_conv1", ConvBN, (64, 3)),
        ("block1_conv2", ConvBN, (64, 3)),
    ),
    (
        ("block2_conv1", ConvBN, (128, 3)),
        ("block2_conv2", ConvBN, (128, 3)),
    ),
    (
        ("block_3_1", InceptionV1Block, (FILTERS_3,)),
        ("block_3_2", InceptionV1Block, (FILTERS_3,)),
        ("block_3_3", InceptionV1Block, (FILTERS_3,)),
    ),
    (
        ("block4_conv1", ConvBN, (512, 3)),
        ("block4_conv2", ConvBN, (512, 3)),
        ("block4_conv3", ConvBN, (512, 3)),
    ),
    (
        ("block_5_1", InceptionV3Block, (FILTERS_5,)),
        ("block_5_2", InceptionV3Block, (FILTERS_5,)),
        ("block_5_3", InceptionV3Block, (FILTERS_5,)),
    ),
)
# The block whose pooling each side head reads.
AUXILIARY = {3: "auxiliary_1", 4: "auxiliary_2"}


@documented(SMALLEST, fixed_top=True)
def VGG16Inception(
    include_top=True,
    input_tensor=None,
    input_shape=DEFAULT_SHAPE,
    pooling="max",
    classes=1000,
    classifier_activation="softmax",
    name="vgg16_inception",
    weights=None,
    auxiliary=False,
):
    """Return the hybrid of VGG16 and Inception.

    VGG16 with batch normalization, whose third block is three Inception v1
    blocks and whose fifth is three Inception v3 blocks. At the default shape
    it has 132,084,920 parameters; 8,442,064 without the top.

    Args:
        include_top: whether the three dense layers follow. Defaults to
            `True`.
        auxiliary: whether to return a model for training with two side
            heads, after the pooling of blocks 3 and 4. Its outputs are a
            dictionary of `predictions`, `auxiliary_1` and `auxiliary_2`;
            give each side head's loss the weight `AUXILIARY_LOSS_WEIGHT`
            (0.3). `drop_auxiliary` returns the model without them. Needs
            the top and images of at least 80 x 80. Defaults to `False`.

    Returns:
        A Functional `keras.Model`. Output shape: `(batch, classes)`;
        without the top `(batch, 512)`, or feature maps of 1/32 of the height
        and width.

    Example:

    >>> model = VGG16Inception(
    ...     include_top=False, input_shape=(32, 32, 1), pooling="avg"
    ... )
    >>> model.output_shape
    (None, 512)
    """
    check_auxiliary(auxiliary, include_top)
    inputs = x = image_input(
        input_tensor,
        input_shape,
        include_top=include_top,
        minimum=80 if auxiliary else SMALLEST,
        fixed_size=include_top,
    )
    side_heads = {}
    for number, block in enumerate(BLOCKS, start=1):
        for layer_name, layer, arguments in block:
            x = layer(*arguments, name=layer_name)(x)
        x = keras.layers.MaxPooling2D(2, name=f"block{number}_pool")(x)
        if auxiliary and number in AUXILIARY:
            head = AUXILIARY[number]
            side_heads[head] = AuxiliaryClassifier(
                classes, classifier_activation, name=head
            )(x)
    if include_top:
        outputs = dense_top(x, classes, classifier_activation)
    else:
        outputs = global_pooling(x, pooling)
    if auxiliary:
        outputs = {"predictions": outputs, **side_heads}
    return finish(inputs, outputs, name, weights)
