"""Exports that two processes repeat, to compare the bytes that they write.

    python -m tests.helpers.repeated_exports MODEL.keras FOLDER [INPUTS.npy]

With inputs, it uses every other command on the bundle too.
"""

import sys
from pathlib import Path

import keras
from keras import layers

from keras_inception_export.cli import main
from keras_inception_export.formats.onnx import export as onnx
from keras_inception_export.formats.onnx.quantize.quantizer import (
    OnnxQuantizer,
)
from keras_inception_export.formats.tflite import export as tflite
from tests.helpers.format_cases import inference_model_of
from tests.helpers.onnx_cases import ALL_CASES
from tests.helpers.quantized_cases import SAMPLES, inception

CASES = ("shared_layer", "copies", "convolutions")


def model():
    """Return a model with variables of several kinds, and two outputs."""
    steps = keras.Input((4, 3), name="steps")
    joined = layers.Concatenate()(
        [
            layers.Dense(3)(layers.Flatten()(steps)),
            layers.Bidirectional(layers.GRU(2))(steps),
        ]
    )
    outputs = layers.Dense(2)(joined), layers.BatchNormalization()(joined)
    return keras.Model(steps, outputs)


def command(*words):
    code = main([*map(str, words)])
    assert code == 0, f"{words} returned {code}"


def write(path, folder):
    """Write a bundle of a saved model, and artifacts of other models."""
    bundle = folder / "bundle"
    command("export", path, "--output", bundle, "--batch-size", 2)
    for case in CASES:
        inference_model = inference_model_of(ALL_CASES[case])
        onnx.write(inference_model, folder / f"{case}.onnx")
    tflite.write(inference_model, folder / f"{case}.tflite", opset=18)
    quantizer = OnnxQuantizer(inception(), folder, calibration=SAMPLES)
    for scheme in ("float16", "int8"):
        quantizer.write(folder / f"model.{scheme}.onnx", scheme)
    return bundle


if __name__ == "__main__":
    path, folder, *inputs = map(Path, sys.argv[1:])
    bundle = write(path, folder)
    for file in inputs:
        for name in ("verify", "diagnose", "info"):
            command(name, bundle)
        command("predict", bundle / "model.onnx", file)
