"""The plain functional hybrid of the notebook that this package is based on.

The functions are unchanged except for what Keras 3 requires: imports from
`keras`, and a unique name for each pooling layer of a block. They are the
baseline of the benchmarks and the oracle of the tests.
"""

from keras import Input, Model, layers
from keras import backend as K
from keras.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePooling2D,
    GlobalMaxPooling2D,
    MaxPooling2D,
)


def Conv2d_bn(
    x,
    filters,
    kernel_size,
    padding="same",
    strides=(1, 1),
    normalizer=True,
    activation="relu",
    name=None,
):
    """Convolution, batch normalization, activation."""
    if name is not None:
        conv_name = name + "_conv"
        bn_name = name + "_bn"
        act_name = name + "_act"
    else:
        conv_name = None
        bn_name = None
        act_name = None
    if K.image_data_format() == "channels_first":
        bn_axis = 1
    else:
        bn_axis = 3
    x = Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=False,
        name=conv_name,
    )(x)
    if normalizer:
        x = BatchNormalization(axis=bn_axis, scale=False, name=bn_name)(x)
    if activation:
        x = Activation(activation, name=act_name)(x)
    return x


def InceptionV1_block(x, specs, channel_axis, name):
    """Four branches: 1x1; 3x3; 5x5; pooling."""
    (br0, br1, br2, br3) = specs  # ((64,), (96,128), (16,32), (32,))
    branch_0 = Conv2d_bn(x, br0[0], (1, 1), name=name + "_Branch_0")

    branch_1 = Conv2d_bn(x, br1[0], (1, 1), name=name + "_Branch_1")
    branch_1 = Conv2d_bn(branch_1, br1[1], (3, 3), name=name + "_Branch_1_1")

    branch_2 = Conv2d_bn(x, br2[0], (1, 1), name=name + "_Branch_2")
    branch_2 = Conv2d_bn(branch_2, br2[1], (5, 5), name=name + "_Branch_2_1")

    maxpoolb3 = MaxPooling2D(
        pool_size=(3, 3),
        strides=(1, 1),
        padding="same",
        name=name + "_maxpoolb3",
    )(x)
    branch_3 = Conv2d_bn(maxpoolb3, br3[0], (1, 1), name=name + "_Branch_3")

    x = layers.concatenate(
        [branch_0, branch_1, branch_2, branch_3],
        axis=channel_axis,
        name=name + "_Concatenated",
    )
    return x


def InceptionV3_block(x, specs, channel_axis, name):
    """The same block with n x n factored into 1 x n and n x 1."""
    (br0, br1, br2, br3) = specs  # ((64,), (96,128), (16,32), (32,))
    branch_0 = Conv2d_bn(x, br0[0], (1, 1), name=name + "_Branch_0")

    branch_1 = Conv2d_bn(x, br1[0], (1, 1), name=name + "_Branch_1")
    branch_1 = Conv2d_bn(branch_1, br1[1], (1, 3), name=name + "_Branch_1_1")
    branch_1 = Conv2d_bn(branch_1, br1[1], (3, 1), name=name + "_Branch_1_2")

    branch_2 = Conv2d_bn(x, br2[0], (1, 1), name=name + "_Branch_2")
    branch_2 = Conv2d_bn(branch_2, br2[1], (1, 5), name=name + "_Branch_2_1")
    branch_2 = Conv2d_bn(branch_2, br2[1], (5, 1), name=name + "_Branch_2_2")

    maxpoolb3 = MaxPooling2D(
        pool_size=(3, 3),
        strides=(1, 1),
        padding="same",
        name=name + "_maxpoolb3",
    )(x)
    branch_3 = Conv2d_bn(maxpoolb3, br3[0], (1, 1), name=name + "_Branch_3")

    x = layers.concatenate(
        [branch_0, branch_1, branch_2, branch_3],
        axis=channel_axis,
        name=name + "_Concatenated",
    )
    return x


def VGG16_Inception(
    include_top=True,
    input_tensor=None,
    input_shape=(224, 224, 1),
    pooling="max",
    classes=1000,
):
    """The hybrid; as in the notebook, for `channels_last` only."""
    img_input = Input(shape=input_shape)

    x = Conv2d_bn(
        img_input,
        64,
        (3, 3),
        activation="relu",
        padding="same",
        name="block1_conv1",
    )
    x = Conv2d_bn(
        x, 64, (3, 3), activation="relu", padding="same", name="block1_conv2"
    )
    x = MaxPooling2D((2, 2), strides=(2, 2), name="block1_pool")(x)

    x = Conv2d_bn(
        x, 128, (3, 3), activation="relu", padding="same", name="block2_conv1"
    )
    x = Conv2d_bn(
        x, 128, (3, 3), activation="relu", padding="same", name="block2_conv2"
    )
    x = MaxPooling2D((2, 2), strides=(2, 2), name="block2_pool")(x)

    specs = ((64,), (96, 128), (16, 32), (32,))
    x = InceptionV1_block(x, specs, 3, "Block_3_1")
    x = InceptionV1_block(x, specs, 3, "Block_3_2")
    x = InceptionV1_block(x, specs, 3, "Block_3_3")
    x = MaxPooling2D((2, 2), strides=(2, 2), name="block3_pool")(x)

    x = Conv2d_bn(
        x, 512, (3, 3), activation="relu", padding="same", name="block4_conv1"
    )
    x = Conv2d_bn(
        x, 512, (3, 3), activation="relu", padding="same", name="block4_conv2"
    )
    x = Conv2d_bn(
        x, 512, (3, 3), activation="relu", padding="same", name="block4_conv3"
    )
    x = MaxPooling2D((2, 2), strides=(2, 2), name="block4_pool")(x)

    specs = ((128,), (192, 256), (32, 64), (64,))
    x = InceptionV3_block(x, specs, 3, "Block_5_1")
    x = InceptionV3_block(x, specs, 3, "Block_5_2")
    x = InceptionV3_block(x, specs, 3, "Block_5_3")
    x = MaxPooling2D((2, 2), strides=(2, 2), name="block5_pool")(x)

    if include_top:
        x = Flatten(name="flatten")(x)
        x = Dense(4096, activation="relu", name="fc1")(x)
        x = Dense(4096, activation="relu", name="fc2")(x)
        x = Dense(classes, activation="softmax", name="predictions")(x)
    else:
        if pooling == "avg":
            x = GlobalAveragePooling2D()(x)
        elif pooling == "max":
            x = GlobalMaxPooling2D()(x)

    inputs = img_input
    model = Model(inputs, x, name="vgg16")
    return model
