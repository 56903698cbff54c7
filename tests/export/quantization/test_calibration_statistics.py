"""Second moments of the inputs of convolutions and matrix products."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.formats.onnx.quantize.placement import layer_nodes
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from keras_inception_export.quantization.calibration_statistics import (
    second_moments,
)
from tests.helpers.numeric import to_array

# The shape of an input, and the layer that reads it.
LAYERS = {
    "valid": ((9, 8, 3), layers.Conv2D, [3]),
    "same": ((9, 8, 3), layers.Conv2D, [(3, 2)], {"padding": "same"}),
    "strided": (
        (9, 8, 3),
        layers.Conv2D,
        [3],
        {"strides": 2, "padding": "same"},
    ),
    "dilated": ((9, 8, 3), layers.Conv2D, [3], {"dilation_rate": 2}),
    "any_size": (
        (None, None, 3),
        layers.Conv2D,
        [3],
        {"strides": 2, "padding": "same"},
    ),
    "line": ((9, 3), layers.Conv1D, [3], {"padding": "same"}),
    "volume": ((5, 4, 3, 2), layers.Conv3D, [2], {"padding": "same"}),
    "product": ((5,), layers.Dense, []),
    "rows": ((6, 5), layers.Dense, []),
}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The layers, their inputs and the moments, from one model of them all."""
    random = np.random.default_rng(0)
    inputs, arrays, made = {}, {}, {}
    for name, (shape, layer, args, *options) in LAYERS.items():
        inputs[name] = keras.Input(shape, name=name)
        made[name] = layer(
            4, *args, use_bias=False, name=f"{name}_layer", **dict(*options)
        )
        size = (3, *(axis or 7 for axis in shape))
        arrays[name] = random.normal(size=size).astype("float32")
    outputs = {f"{n}_out": layer(inputs[n]) for n, layer in made.items()}
    inference_model = to_inference_model(
        functional(keras.Model(inputs, outputs))
    )
    graph = float_graph(inference_model)
    nodes = {
        graph.constants[node.input[1]].weight: [node]
        for node in layer_nodes(graph)
    }
    workdir = tmp_path_factory.mktemp("moments")
    return made, arrays, second_moments(graph, nodes, 999, arrays, workdir)


@pytest.mark.parametrize("name", LAYERS)
def test_moments_give_the_energy_of_each_filter(name, network):
    """The sum of squares of a filter's output is a product with them."""
    made, arrays, moments = network
    layer = made[name]
    ((moment,),) = moments[f"{name}_layer/kernel"]
    kernel = np.moveaxis(to_array(layer.kernel), -2, 0).reshape(-1, 4)
    outputs = to_array(layer(arrays[name])).reshape(-1, 4)
    expected = np.square(outputs).sum(axis=0)
    energy = np.einsum("if,ij,jf->f", kernel, moment, kernel)
    np.testing.assert_allclose(energy, expected, rtol=1e-4)
    wrong = np.einsum("if,ij,jf->f", kernel[::-1], moment, kernel[::-1])
    assert np.abs(wrong / expected - 1).max() > 0.01
