from collections import Counter

import keras
import numpy as np
import onnxruntime
import openvino
import pytest
from keras import layers
from onnx.reference import ReferenceEvaluator

from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.onnx import runtime as onnx
from keras_inception_export.formats.onnx import serialize as onnx_writer
from keras_inception_export.formats.onnx import tracing as onnx_convert
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_layers import VGG16Inception, fold_batch_norm
from tests.export.formats.onnx.test_export import (
    TOLERANCE,
    attention,
    checked,
    inference_model_of,
    kinds_of_convolution,
    shared_layer,
    write,
)
from tests.helpers.format_cases import feeds_of, keras_outputs, largest_error
from tests.helpers.numeric import randomize

HYBRID = {"Conv": 49, "Relu": 49, "MaxPool": 11, "Concat": 6, "Reshape": 1}


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory):
    """The hybrid without its top on small images, as a inference model and as a file."""
    model = VGG16Inception(include_top=False, input_shape=(64, 64, 1))
    inference_model = InferenceModel.of(fold_batch_norm(randomize(model)))
    return inference_model, write(
        inference_model, tmp_path_factory.mktemp("hybrid")
    )


def operators(graph):
    return Counter(node.op_type for node in graph.node)


def test_the_hybrid_holds_its_layers_and_nothing_else(hybrid):
    assert operators(checked(hybrid[1]).graph) == {**HYBRID, "ReduceMax": 1}


def test_flattening_needs_no_shape_arithmetic(tmp_path):
    model = VGG16Inception(input_shape=(64, 64, 1), classes=10)
    inference_model = InferenceModel.of(fold_batch_norm(model))
    found = operators(checked(write(inference_model, tmp_path)).graph)
    top = {"Transpose": 1, "MatMul": 3, "Add": 3, "Softmax": 1}
    assert found == {**HYBRID, **top, "Relu": 51, "Reshape": 2}


def _unoptimized(path):
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.graph_optimization_level = level
    session = onnxruntime.InferenceSession(path, options)
    return lambda image: session.run(None, {"image": image})[0]


def _reference(path):
    evaluator = ReferenceEvaluator(str(path))
    return lambda image: evaluator.run(None, {"image": image})[0]


def _openvino(path):
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    return lambda image: compiled(image)[0]


@pytest.mark.parametrize("reader", [_unoptimized, _reference, _openvino])
def test_every_reader_computes_the_same(hybrid, reader):
    inference_model, path = hybrid
    feeds = feeds_of(inference_model, 2)
    (expected,) = onnx.open_runner(path).run(feeds).values()
    actual = reader(path)(feeds["image"])
    assert np.max(np.abs(actual - expected)) <= 2e-6 * np.max(np.abs(expected))


def test_weights_and_nodes_are_named_by_keras(hybrid):
    inference_model, path = hybrid
    graph = checked(path).graph
    paths = {weight.path for weight in inference_model.model.weights}
    names = {tensor.name for tensor in graph.initializer}
    assert paths <= names
    assert "block_3_1/branch_1/conv_0/conv/kernel" in paths
    scopes = {
        layer.path or layer.name
        for layer in inference_model.model._flatten_layers()
    }
    for node in graph.node:
        assert node.name.rpartition("/")[0] in scopes
        assert node.op_type in node.name
    nodes = [node.name for node in graph.node]
    assert len(set(nodes)) == len(nodes)
    assert "block3_pool/MaxPool" in nodes


def test_axes_of_unknown_length_have_a_symbol(tmp_path):
    graph = checked(write(inference_model_of(attention), tmp_path)).graph

    def axes(value):
        shape = value.type.tensor_type.shape
        return [axis.dim_param or axis.dim_value for axis in shape.dim]

    assert [axes(value) for value in graph.input] == [
        ["batch", "steps_dim_1", 8]
    ]
    assert [axes(value) for value in graph.output] == [
        ["batch", "out_dim_1", 3]
    ]


def test_batch_norm_becomes_part_of_its_convolution(tmp_path):
    graph = checked(
        write(inference_model_of(kinds_of_convolution), tmp_path)
    ).graph
    found = operators(graph)
    assert set(found) == {
        "Conv",
        "ConvTranspose",
        "Relu",
        "Reshape",
        "Transpose",
    }


def test_a_kernel_that_is_shared_is_written_once(tmp_path):
    graph = checked(write(inference_model_of(shared_layer), tmp_path)).graph
    kernels = {node.input[1] for node in graph.node if node.op_type == "Conv"}
    assert operators(graph)["Conv"] == 2
    assert kernels == {"inner/conv/kernel"}


def test_no_large_weight_passes_through_tf2onnx():
    vector = layers.Input((512,), name="vector")
    inference_model = InferenceModel.of(
        keras.Model(vector, layers.Dense(512)(vector))
    )
    conversion = onnx_convert.convert(inference_model, 18)
    assert conversion.model.ByteSize() < 4096


@pytest.fixture
def split(tmp_path, monkeypatch):
    """A file whose weights stand beside it, and its inference model."""
    monkeypatch.setattr(onnx_writer, "PROTOBUF_LIMIT", 100_000)
    vector = layers.Input((300,), name="vector")
    x = layers.Dense(200, "relu")(vector)
    x = layers.Conv2D(40, 3)(layers.Reshape((10, 10, 2))(x))
    x = layers.Flatten()(layers.Conv2D(40, 3)(x))
    inference_model = InferenceModel.of(keras.Model(vector, layers.Dense(2)(x)))
    return inference_model, write(inference_model, tmp_path)


def test_weights_beyond_the_limit_stand_beside_the_file(split):
    inference_model, path = split
    data = path.with_name("model.onnx.data")
    assert path.stat().st_size < 20_000
    assert data.stat().st_size > 4 * 300 * 200
    checked(path)
    feeds = feeds_of(inference_model, 3)
    outputs = onnx.open_runner(path).run(feeds)
    assert (
        largest_error(outputs, keras_outputs(inference_model, feeds))
        <= TOLERANCE
    )
    content = bytearray(data.read_bytes())
    content[1003] ^= 0x40
    data.write_bytes(content)
    outputs = onnx.open_runner(path).run(feeds)
    assert (
        largest_error(outputs, keras_outputs(inference_model, feeds))
        > TOLERANCE
    )


@pytest.mark.parametrize("kept", [None, 0, 200_000])
def test_refuses_damaged_weights_beside_the_file(split, kept):
    _, path = split
    data = path.with_name("model.onnx.data")
    if kept is None:
        data.unlink()
    else:
        data.write_bytes(data.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match="cannot be opened"):
        onnx.open_runner(path)


def test_the_file_is_the_same_message_that_protobuf_writes(hybrid):
    model = checked(hybrid[1])
    again = type(model).FromString(model.SerializeToString())
    assert again == model
    assert len(model.SerializeToString()) == hybrid[1].stat().st_size
