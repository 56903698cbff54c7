"""Write a small verified bundle: python make_bundle.py DIR."""

import sys

import keras

from keras_inception_export import export_model
from keras_inception_layers import VGG16Inception

keras.utils.set_random_seed(0)
model = VGG16Inception(include_top=False, input_shape=(32, 32, 1))
export_model(model, sys.argv[1], overwrite=True)
