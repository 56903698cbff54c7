"""Ranges: measured on samples, or known by definition."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.formats.onnx.quantize.calibration import calibrate
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional


@pytest.mark.parametrize(
    ("layer", "operator", "expected"),
    [
        (lambda: layers.Activation("tanh"), "Tanh", (-1, 1)),
        (lambda: layers.Activation("sigmoid"), "Sigmoid", (0, 1)),
        (lambda: layers.LSTM(3, return_sequences=True), "LSTM", (-1, 1)),
        (lambda: layers.LSTM(3), "Squeeze", (-1, 1)),
        (lambda: layers.LSTM(3, activation="relu"), "LSTM", None),
        (lambda: layers.ReLU(), "Relu", None),
    ],
)
def test_ranges_that_are_known(layer, operator, expected, tmp_path):
    series = keras.Input((4, 2), name="series")
    model = keras.Model(series, layers.Dense(1)(layer()(series)))
    graph = float_graph(to_inference_model(functional(model)))
    samples = 0.1 * np.random.default_rng(0).normal(size=(20, 4, 2))
    ranges = calibrate(graph, tmp_path, {"series": np.float32(samples)})
    nodes = [node for node in graph.nodes if node.op_type == operator]
    found = ranges[nodes[-1].output[0]]
    if expected is None:  # measured on small samples
        assert max(map(abs, found)) < 0.9
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("activation", "low", "high"),
    [(None, -1.25, 1.25), ("relu", 0, 1.125), ("relu6", 0, 6), ("tanh", -1, 1)],
)
def test_outputs_have_headroom_within_their_bounds(
    activation, low, high, tmp_path
):
    """Samples from -1 to 1, or to 6, are followed by larger ones."""
    series = keras.Input((3,), name="series")
    one = keras.initializers.Identity()
    outputs = layers.Dense(3, activation, kernel_initializer=one)(series)
    graph = float_graph(
        to_inference_model(functional(keras.Model(series, outputs)))
    )
    limit = 6 if activation == "relu6" else 1
    samples = np.float32([[-limit, limit, 0]])
    ranges = calibrate(graph, tmp_path, {"series": samples})
    (output,) = graph.outputs
    np.testing.assert_allclose(ranges[output.name], (low, high))
    assert ranges["series"] == (-limit, limit)
