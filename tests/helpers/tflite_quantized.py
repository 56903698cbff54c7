"""A small classifier, quantized to TFLite, and LiteRT's view of a file."""

import keras
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers

from keras_inception_export.formats.tflite.quantize.quantizer import (
    TFLiteQuantizer,
)
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from keras_inception_layers import InceptionV1Block
from tests.helpers.format_cases import feeds_of, keras_outputs
from tests.helpers.numeric import randomize
from tests.helpers.quantized_cases import decibels, run


def classifier():
    image = layers.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, name="stem", activation="relu")(image)
    x = InceptionV1Block(((8,), (6, 8), (4, 6), (6,)), name="block")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.Conv2D(40, 1, name="last", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(5, name="scores", activation="softmax")(x)
    return randomize(keras.Model(image, x))


def inference_model_of(model):
    return to_inference_model(functional(model))


class Case:
    """An inference model with its quantizer, inputs, and Keras's outputs."""

    def __init__(self, inference_model, folder, samples=60):
        self.inference_model, self.folder = inference_model, folder
        self.calibration = feeds_of(inference_model, samples)
        self.quantizer = TFLiteQuantizer(
            inference_model, folder, calibration=self.calibration
        )
        self.feeds = feeds_of(inference_model, 16)
        self.expected = keras_outputs(inference_model, self.feeds)

    def write(self, scheme="int8", **options):
        path = self.folder / "written.tflite"
        self.quantizer.write(path, scheme, **options)
        return path

    def quality(self, path):
        return decibels(run(path, self.feeds), self.expected)

    def float_layers(self, path):
        return self.quantizer.float_layers(path)


def interpreter_of(path, delegates=True, **options):
    kind = OpResolverType.AUTO
    if not delegates:
        kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return Interpreter(
        model_path=str(path), experimental_op_resolver_type=kind, **options
    )
