"""A small model to quantize, and the signal-to-noise ratio of its outputs."""

import keras
import numpy as np
from keras import layers

from keras_inception_export import load_artifact
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from keras_inception_layers import ConvBN, InceptionV1Block
from tests.helpers.numeric import random_images, randomize

SAMPLES = {"image": random_images((40, 12, 12, 1))}
PROBES = {"image": random_images((20, 12, 12, 1), seed=7)}


def inception():
    """Return an Inception block between convolutions, with two dense layers."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1), name="image"),
            ConvBN(16, 3, name="entry"),
            InceptionV1Block(((16,), (16, 32), (16, 16), (16,)), name="block"),
            layers.MaxPooling2D(name="pool"),
            ConvBN(32, 3, name="last"),
            layers.GlobalMaxPooling2D(name="largest"),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(8, name="scores"),
        ]
    )
    return to_inference_model(functional(randomize(model)), None)


def run(path, feeds=PROBES):
    """Run an artifact on real values and return real values."""
    return load_artifact(path)(feeds)


def decibels(actual, expected):
    """Return the lowest signal-to-noise ratio among the outputs, in dB."""
    assert set(actual) == set(expected)
    return min(
        10
        * np.log10(
            np.sum(np.square(expected[name], dtype="float64"))
            / np.sum(np.square(actual[name] - expected[name], dtype="float64"))
        )
        for name in expected
    )
