"""Compare functions in ONNX with what Keras computes."""

import re

import keras
import numpy as np
from keras import layers

from keras_inception_export.formats.onnx.export import write
from keras_inception_export.formats.onnx.runtime import open_runner
from keras_inception_export.model.inference_model import InferenceModel


class Custom(layers.Layer):
    """Computes a function of tensors, not of symbols."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


def integer(*shape, dtype="int32"):
    return keras.Input(shape or (12,), dtype=dtype, name="x")


def real(*shape):
    return keras.Input(shape or (12,), name="x")


def model_of(cases):
    """Return a model with an input and an output per case."""
    keras.utils.set_random_seed(1)
    inputs, outputs = {}, {}
    for name, (given, function, _) in cases.items():
        inputs[f"x_{name}"] = x = keras.Input(
            batch_shape=given.shape, dtype=given.dtype, name=f"x_{name}"
        )
        outputs[f"y_{name}"] = function(x)
    return keras.Model(inputs, outputs, name="m")


def errors(cases, path, opset=18):
    """Export cases in one model; return the largest error of each."""
    cases = {re.sub(r"\W+", "_", name): case for name, case in cases.items()}
    model = model_of(cases)
    write(InferenceModel.of(model), path / "model.onnx", opset=opset)
    runner = open_runner(path / "model.onnx", threads=1)
    feeds = {}
    for name, (given, _, values) in cases.items():
        values = np.asarray(values, given.dtype)
        if None not in given.shape[1:]:
            values = values.reshape(-1, *given.shape[1:])
        feeds[f"x_{name}"] = values
    found = dict.fromkeys(cases, 0.0)
    for times in (1, 3):
        batch = {x: np.repeat(feeds[x], times, axis=0) for x in feeds}
        outputs, actual = model(batch, training=False), runner.run(batch)
        for name in cases:
            expected = np.asarray(outputs[f"y_{name}"])
            units = error(actual[f"y_{name}"], expected)
            found[name] = max(found[name], units)
    return found


def error(actual, expected):
    """Return the largest error of an output, in units of rounding."""
    assert actual.dtype == expected.dtype
    if not np.issubdtype(actual.dtype, np.floating):
        return np.inf if np.any(actual != expected) else 0.0
    finite = np.isfinite(expected)
    if np.any(actual[~finite] != expected[~finite]):
        return np.inf
    size = np.abs(expected[finite])
    size = np.maximum(size, 1e-3 * size.max(initial=1e-30))
    difference = np.abs(actual[finite] - expected[finite])
    difference[~np.isfinite(actual[finite])] = np.inf
    return (difference / size / 2**-23).max(initial=0.0)


def above(limit, found):
    return {name: units for name, units in found.items() if not units < limit}
