"""Write a small verified bundle: python make_bundle.py DIR."""

import sys

import keras

from keras_inception_export import export_model
from keras_inception_layers import ConvBN, InceptionV1Block

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((16, 16, 1)),
        ConvBN(4, 3, strides=2),
        InceptionV1Block(((4,), (4, 8), (2, 4), (4,))),
        keras.layers.GlobalAveragePooling2D(),
    ]
)
export_model(model, sys.argv[1], overwrite=True)
