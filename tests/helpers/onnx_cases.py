"""Small models that use what the ONNX writer treats specially."""

import keras
from keras import layers

from tests.helpers.format_cases import CASES


def attention():
    steps = layers.Input((None, 8), name="steps")
    attended = layers.MultiHeadAttention(2, 4)(steps, steps)
    x = layers.LayerNormalization()(layers.Add()([steps, attended]))
    return keras.Model(steps, layers.Dense(3, "gelu", name="out")(x))


def kinds_of_convolution():
    image = layers.Input((12, 12, 4), name="image")
    x = layers.Conv2D(8, 3, strides=2, groups=2, padding="same")(image)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv2D(6, 3, padding="same")(layers.ReLU()(x))
    x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2DTranspose(5, 3, strides=2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    return keras.Model(image, layers.Flatten(name="flat")(x))


def other_dimensions():
    line = layers.Input((20, 3), name="line")
    x = layers.Conv1D(4, 3, padding="causal", dilation_rate=2)(line)
    x = layers.SeparableConv1D(6, 3, activation="gelu")(x)
    volume = layers.Input((6, 6, 6, 2), name="volume")
    y = layers.Conv3D(4, 3, padding="same")(volume)
    y = layers.MaxPooling3D(2)(layers.BatchNormalization()(y))
    return keras.Model(
        [line, volume],
        [
            layers.GlobalMaxPooling1D(name="of_line")(x),
            layers.GlobalAveragePooling3D(name="of_volume")(y),
        ],
    )


def shared_layer():
    image = layers.Input((8, 8, 3), name="image")
    inner = keras.Sequential(
        [
            layers.Input((8, 8, 3)),
            layers.Conv2D(3, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
        ],
        name="inner",
    )
    return keras.Model(image, inner(inner(image)))


def copies():
    vector = layers.Input((4,), name="vector")
    hidden = layers.Dense(3, name="hidden")(vector)
    outputs = {"one": hidden, "same": hidden, "given": vector}
    return keras.Model(vector, outputs)


ALL_CASES = CASES | {
    case.__name__: case
    for case in (
        attention,
        kinds_of_convolution,
        other_dimensions,
        shared_layer,
        copies,
    )
}
