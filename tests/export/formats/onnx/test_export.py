import functools
import os
from collections import Counter

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from keras import layers
from onnx.reference import ReferenceEvaluator

from keras_inception_export.formats.onnx import tracing
from keras_inception_export.formats.onnx.export import write
from keras_inception_export.formats.onnx.opsets import OPSETS
from keras_inception_export.formats.onnx.runtime import open_runner
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.loading import functional
from keras_inception_layers import VGG16Inception, fold_batch_norm
from tests.helpers.format_cases import (
    check_artifact,
    feeds_of,
    inference_model_of,
    keras_outputs,
    largest_error,
    small_model,
)
from tests.helpers.numeric import randomize
from tests.helpers.onnx_cases import ALL_CASES, kinds_of_convolution

# Relative to an output's largest value. The largest error measured was 9e-7.
TOLERANCE = 4e-6


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export a case once; return its inference model and its file."""

    @functools.cache
    def export(case):
        folder = tmp_path_factory.mktemp(case)
        keras.utils.clear_session()  # restarts automatic names
        inference_model = inference_model_of(ALL_CASES[case])
        write(inference_model, folder / "model.onnx")
        return inference_model, folder / "model.onnx"

    return export


def hybrid():
    return VGG16Inception(input_shape=(64, 64, 1), classes=10)


# The layers of a network after batch norm is folded: flattening and pooling
# need no arithmetic with shapes.
NETWORKS = {
    small_model: {
        **{"Transpose": 1, "Conv": 6, "Relu": 6, "MaxPool": 1, "Concat": 1},
        **{"ReduceMean": 1, "MatMul": 1, "Add": 1, "Softmax": 1},
    },
    hybrid: {
        **{"Transpose": 1, "Conv": 49, "Relu": 51, "MaxPool": 11, "Concat": 6},
        "Reshape": 2,
        **{"MatMul": 3, "Add": 3, "Softmax": 1},
    },
}


@pytest.fixture(
    scope="module",
    params=[small_model, pytest.param(hybrid, marks=pytest.mark.slow)],
    ids=lambda factory: factory.__name__,
)
def network(request, tmp_path_factory):
    """A network as an inference model, as a file, and its operators."""
    model = fold_batch_norm(functional(randomize(request.param())))
    inference_model = InferenceModel.of(model)
    path = tmp_path_factory.mktemp("network") / "model.onnx"
    write(inference_model, path)
    return inference_model, path, NETWORKS[request.param]


def checked(path):
    """Load a file after ONNX's full check."""
    onnx.checker.check_model(str(path), full_check=True)
    return onnx.load(str(path))


def operators(graph):
    return Counter(node.op_type for node in graph.node)


@pytest.mark.parametrize("case", ALL_CASES)
def test_an_artifact_computes_what_keras_computes(case, exported):
    inference_model, path = exported(case)
    assert os.listdir(path.parent) == ["model.onnx"]
    checked(path)
    runner = open_runner(path, threads=1)
    assert runner.outputs == inference_model.outputs
    check_artifact(runner, inference_model_of(ALL_CASES[case]), TOLERANCE)


@pytest.mark.parametrize(
    "opset",
    [
        pytest.param(x, marks=pytest.mark.slow if x in OPSETS[1:-1] else ())
        for x in OPSETS
    ],
)
def test_every_opset_can_be_written(opset, tmp_path):
    inference_model = inference_model_of(kinds_of_convolution)
    path = tmp_path / "model.onnx"
    write(inference_model, path, opset=opset)
    model = checked(path)
    assert [entry.version for entry in model.opset_import] == [opset]
    feeds = feeds_of(inference_model, 2)
    expected = keras_outputs(inference_model, feeds)
    assert largest_error(open_runner(path).run(feeds), expected) <= TOLERANCE
    (reference,) = ReferenceEvaluator(model).run(None, feeds)
    assert largest_error({"flat": reference}, expected) <= TOLERANCE


def test_an_export_leaves_the_model_unchanged(tmp_path):
    inference_model = inference_model_of(ALL_CASES["normalization"])
    feeds = feeds_of(inference_model, 2)
    before = keras_outputs(inference_model, feeds)
    attributes = [set(vars(layer)) for layer in inference_model.model.layers]
    write(inference_model, tmp_path / "model.onnx")
    assert largest_error(keras_outputs(inference_model, feeds), before) == 0
    assert [
        set(vars(layer)) for layer in inference_model.model.layers
    ] == attributes


def test_a_network_consists_of_its_layers(network):
    _, path, expected = network
    assert operators(checked(path).graph) == expected


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("any_size", {"Transpose": 1, "Conv": 1, "ReduceMax": 1}),
        (  # batch norm becomes part of its convolution
            "kinds_of_convolution",
            {
                **{"Transpose": 2, "Conv": 4, "ConvTranspose": 1, "Relu": 1},
                "Reshape": 1,
            },
        ),
    ],
)
def test_what_tf2onnx_adds_is_removed(case, expected, exported):
    assert operators(checked(exported(case)[1]).graph) == expected


def _unoptimized(path):
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(path, options)
    return lambda image: session.run(None, {"image": image})[0]


def _reference(path):
    evaluator = ReferenceEvaluator(str(path))
    return lambda image: evaluator.run(None, {"image": image})[0]


@pytest.mark.parametrize("reader", [_unoptimized, _reference])
def test_every_reader_computes_the_same(network, reader):
    inference_model, path, _ = network
    compute = reader(path)
    image = feeds_of(inference_model, 1)["image"]
    expected = open_runner(path).run({"image": image})
    (name,) = expected
    # The largest error measured was 2.2e-6.
    assert largest_error({name: compute(image)}, expected) <= 2e-5
    changed = {name: compute(image * np.float32(1.01))}
    assert largest_error(changed, expected) > 2e-5


def test_weights_and_nodes_are_named_after_keras(network):
    inference_model, path, _ = network
    graph = checked(path).graph
    paths = {weight.path for weight in inference_model.model.weights}
    assert paths <= {tensor.name for tensor in graph.initializer}
    assert any(x.endswith("/branch_1_conv_0/conv/kernel") for x in paths)
    layer_paths = {
        layer.path or layer.name
        for layer in inference_model.model._flatten_layers()
    }
    for node in graph.node:
        assert node.name.rpartition("/")[0] in layer_paths
        assert node.op_type in node.name
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    pooling = ("block3_pool/MaxPool", "/branch_3_pool_0/MaxPool")
    assert any(name.endswith(pooling) for name in names)


def test_axes_of_unknown_length_have_a_symbol(exported):
    graph = checked(exported("attention")[1]).graph

    def axes(value):
        shape = value.type.tensor_type.shape
        return [axis.dim_param or axis.dim_value for axis in shape.dim]

    assert [axes(value) for value in graph.input] == [
        ["batch", "steps_dim_1", 8]
    ]
    assert [axes(value) for value in graph.output] == [
        ["batch", "out_dim_1", 3]
    ]


def test_a_kernel_that_is_shared_is_written_once(exported):
    graph = checked(exported("shared_layer")[1]).graph
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    assert operators(graph)["Conv"] == 2
    assert kernels == {"inner/conv/kernel"}


class TensorFlowState(layers.Layer):
    """It has a variable of TensorFlow, of which Keras knows nothing."""

    def __init__(self):
        super().__init__()
        self.scale = tf.Variable([1.0, 2.0, 3.0, 4.0])

    def call(self, inputs):
        """Return the scaled input."""
        return inputs * self.scale


def test_a_variable_of_tensorflow_is_a_constant(tmp_path):
    model = keras.Sequential([keras.Input((4,)), TensorFlowState()])
    write(InferenceModel.of(functional(model)), tmp_path / "model.onnx")
    runner = open_runner(tmp_path / "model.onnx", threads=1)
    (found,) = runner.run({"input": np.ones((2, 4), "float32")}).values()
    np.testing.assert_array_equal(found, [[1, 2, 3, 4]] * 2)


def test_no_large_weight_passes_through_tf2onnx(monkeypatch):
    sizes = []

    def spy(*arguments, run=tracing._run_tf2onnx):
        model = run(*arguments)
        sizes.append(model.ByteSize())
        return model

    monkeypatch.setattr(tracing, "_run_tf2onnx", spy)
    vector = layers.Input((512,), name="vector")
    model = keras.Model(vector, layers.Dense(512)(vector))
    tracing.convert(InferenceModel.of(model), 18)
    assert len(sizes) == 1 and sizes[0] < 4096


def test_a_shape_that_keras_declares_wrongly_is_not_written(tmp_path):
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, keras.ops.rot90(x, 2, axes=(1, 2)))
    assert model.output.shape == (None, 3, None)  # rotated once
    write(InferenceModel.of(model), tmp_path / "model.onnx")
    feeds = {"x": np.arange(30, dtype="float32").reshape(2, 5, 3)}
    (output,) = open_runner(tmp_path / "model.onnx").run(feeds).values()
    np.testing.assert_array_equal(output, model(feeds["x"]))
