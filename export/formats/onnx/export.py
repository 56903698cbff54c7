"""ONNX artifacts, written from the inference model."""

from functools import partial
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf

from keras_inception_export.formats.onnx.graph import Constant, Graph
from keras_inception_export.formats.onnx.opsets import check_opset
from keras_inception_export.formats.onnx.passes.naming import settle_names
from keras_inception_export.formats.onnx.passes.simplify import simplify
from keras_inception_export.formats.onnx.serialize import write_file
from keras_inception_export.formats.onnx.tracing import Conversion, convert
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.name_scopes import layer_in_scope


def write(
    inference_model: InferenceModel, path: Path, *, opset: int = 18
) -> None:
    """Write the inference model at `path`.

    Weights that would not fit a protobuf file are written beside it, in a
    file named `path` with `.data` added.

    Raises:
        RequestError: the operator set cannot be written.
        ConversionError: the model cannot be expressed in ONNX.
    """
    write_file(float_graph(inference_model, opset), path)


def float_graph(inference_model: InferenceModel, opset: int = 18) -> Graph:
    """Return a copy of the graph that `write` writes, converted once.

    Raises:
        RequestError: the operator set cannot be written.
        ConversionError: the model cannot be expressed in ONNX.
    """
    check_opset(opset)
    graph = inference_model.converted(
        ("onnx", opset), partial(_float_graph, inference_model, opset)
    )
    return graph.copy()


def _float_graph(inference_model: InferenceModel, opset: int) -> Graph:
    conversion = convert(inference_model, opset)
    graph = _graph_of(conversion, inference_model, opset)
    simplify(graph)
    settle_names(
        graph,
        [spec.name for spec in inference_model.inputs],
        [spec.name for spec in inference_model.outputs],
    )
    return graph


def _graph_of(
    conversion: Conversion, inference_model: InferenceModel, opset: int
) -> Graph:
    """Take over a conversion: weights become constants, axes get symbols."""
    source = conversion.model.graph
    constants = {
        tensor.name: Constant.of(partial(onnx.numpy_helper.to_array, tensor))
        for tensor in source.initializer
    }
    for name, value in conversion.captured.items():
        constants[name] = Constant.of(partial(np.asarray, value))
    for name, variable in conversion.weights.items():
        constants[name] = Constant.of(partial(_memory, variable), variable.path)
    layers = {
        node.name: layer_in_scope(node.name, conversion.scopes)
        for node in source.node
    }
    return Graph(
        opset=opset,
        nodes=list(source.node),
        constants=constants,
        inputs=[
            _typed(f"in{index}", spec)
            for index, spec in enumerate(inference_model.inputs)
        ],
        outputs=[
            _typed(f"out{index}", spec)
            for index, spec in enumerate(inference_model.outputs)
        ],
        layers={name: layer for name, layer in layers.items() if layer},
    )


def _memory(variable: keras.Variable) -> np.ndarray:
    """Return a variable's value without a copy."""
    return np.asarray(tf.convert_to_tensor(variable))


def _typed(name: str, spec) -> onnx.ValueInfoProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    shape = [
        length
        if length is not None
        else ("batch" if axis == 0 else f"{spec.name}_dim_{axis}")
        for axis, length in enumerate(spec.shape)
    ]
    return onnx.helper.make_tensor_value_info(name, kind, shape)
