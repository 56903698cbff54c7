"""Small classifiers of real digits that are easy or hard to quantize."""

import functools

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

HARD_CHANNELS = [0, 1, 2]  # those that are scaled by FACTOR
FACTOR = 1000.0


@functools.cache
def digits():
    """Return the images, 8 x 8 x 1 from 0 to 1, and labels of scikit-learn."""
    data = load_digits()
    return data.images[..., None].astype("float32") / 16, data.target


def plain():
    """Return two convolutions, the second of which reads the first."""
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, activation="relu", name="first")(image)
    x = layers.Conv2D(24, 3, activation="relu", name="second")(x)
    return _classifier(image, x)


def gated():
    """Return two convolutions with a gate between them.

    The channels of the first are multiplied by it, so they cannot be scaled.
    """
    image = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, activation="relu", name="first")(image)
    mean = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(16, 1, activation="sigmoid", name="gate")(mean)
    x = layers.Multiply()([x, gate])
    x = layers.Conv2D(24, 3, activation="relu", name="second")(x)
    return _classifier(image, x)


def _classifier(image, x):
    x = layers.Flatten()(layers.MaxPooling2D()(x))
    x = layers.Dense(10, activation="softmax", name="digit")(x)
    return keras.Model(image, x, name="digits")


@functools.cache
def trained(build):
    """Return the weights of a trained model."""
    keras.utils.set_random_seed(0)
    model = build()
    model.compile(
        keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy"
    )
    model.fit(*digits(), batch_size=64, epochs=12, verbose=0)
    return model.get_weights()


def easy(build):
    """Return a trained model."""
    model = build()
    model.set_weights(trained(build))
    return model


def hard(build):
    """Return a model that computes the same, with some channels far larger."""
    model = easy(build)
    for name, axis, factor in (
        ("first", -1, FACTOR),
        ("gate", -2, 1 / FACTOR),
        ("second", -2, 1 / FACTOR),
    ):
        if name not in [layer.name for layer in model.layers]:
            continue
        kernel, bias = model.get_layer(name).get_weights()
        np.moveaxis(kernel, axis, 0)[HARD_CHANNELS] *= factor
        if axis == -1:
            bias[HARD_CHANNELS] *= factor
        model.get_layer(name).set_weights([kernel, bias])
    return model
