"""Write ONNX artifacts from the inference model."""

from functools import partial
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.formats.onnx.graph import Constant, Graph
from keras_inception_export.formats.onnx.opsets import check_opset
from keras_inception_export.formats.onnx.passes.naming import assign_names
from keras_inception_export.formats.onnx.passes.simplify import simplify
from keras_inception_export.formats.onnx.serialize import write_file
from keras_inception_export.formats.onnx.tracing import convert
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.name_scopes import layer_in_scope


def write(
    inference_model: InferenceModel, path: Path, *, opset: int = 18
) -> None:
    """Write the inference model as an ONNX file.

    Weights that exceed the size limit of a protobuf file are written beside
    it, in a file named `path` with `.data` appended.

    Args:
        inference_model: the model.
        path: the file.
        opset: version of the ONNX operators. Defaults to `18`.

    Raises:
        RequestError: the operator set cannot be written.
        ConversionError: ONNX cannot express the model.
    """
    write_file(float_graph(inference_model, opset), path)


def float_graph(inference_model: InferenceModel, opset: int = 18) -> Graph:
    """Return a copy of the graph that `write` writes, converted only once."""
    check_opset(opset)
    build = partial(_float_graph, inference_model, opset)
    return inference_model.converted(("onnx", opset), build).copy()


def _float_graph(model: InferenceModel, opset: int) -> Graph:
    graph = _converted(model, opset)
    simplify(graph)
    assign_names(
        graph,
        [spec.name for spec in model.inputs],
        [spec.name for spec in model.outputs],
    )
    return graph


def _converted(model: InferenceModel, opset: int) -> Graph:
    """Convert a model: weights become constants, unknown axes get symbols."""
    conversion = convert(model, opset)
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
        node.name: layer
        for node in source.node
        if (layer := layer_in_scope(node.name, conversion.scopes))
    }
    return Graph(
        opset=opset,
        nodes=list(source.node),
        constants=constants,
        inputs=[_typed(f"in{i}", spec) for i, spec in enumerate(model.inputs)],
        outputs=[
            _typed(f"out{i}", spec) for i, spec in enumerate(model.outputs)
        ],
        layers=layers,
    )


def _memory(variable: keras.Variable) -> np.ndarray:
    """Return a variable's value without a copy."""
    return np.asarray(tf.convert_to_tensor(variable))


def _typed(name: str, spec: TensorSpec) -> onnx.ValueInfoProto:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    shape = [
        f"{spec.name}_dim_{axis}" if length is None else length
        for axis, length in enumerate(spec.shape)
    ]
    if spec.shape and spec.shape[0] is None:
        shape[0] = "batch"
    return onnx.helper.make_tensor_value_info(name, kind, shape)
