"""Convert a Keras model to an ONNX graph with tf2onnx.

tf2onnx copies every constant many times, so the kernels and biases of the
layers in `WEIGHTED_LAYERS` are traced as graph inputs `w0`, `w1`, ... beside
the model's own inputs `in0`, `in1`, .... All other weights are constants:
tf2onnx must see the values of recurrent cells and batch norm to recognize
them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
from tf2onnx import optimizer, tf_loader, tf_utils, tfonnx, utils
from tf2onnx.graph import Node

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import (
    ConversionError,
    ExportError,
    exhausted,
    reason_of,
)
from keras_inception_export.formats.onnx.conversions import (
    CONDITIONS,
    CONVERSIONS,
)
from keras_inception_export.formats.onnx.conversions.rewriting import as_handler
from keras_inception_export.formats.onnx.graph import Constant, Graph
from keras_inception_export.formats.onnx.tf2onnx_patches import (
    MergeFirst,
    rounding_casts,
    silent,
    weights_without_memory,
)
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.name_scopes import (
    layer_in_scope,
    nested_name,
    recorded,
)
from keras_inception_export.model.precision import check_no_float8
from keras_inception_export.model.size_dependent import any_size

WEIGHTED_LAYERS = tuple(
    getattr(keras.layers, name)
    for name in (
        "Conv1D Conv2D Conv3D Conv1DTranspose Conv2DTranspose Conv3DTranspose "
        "DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D Dense "
        "EinsumDense Embedding"
    ).split()
)

_REMEDY = "use layers that ONNX supports, or export another format"


def convert(inference_model: InferenceModel, opset: int) -> Graph:
    """Trace and convert the inference model.

    The inputs of the graph are `in0`, ... and its outputs `out0`, ...; the
    other names are tf2onnx's.

    Raises:
        ConversionError: ONNX has no equivalent of an operation.
    """
    check_no_float8(inference_model.model, "ONNX")
    weights = _weights(inference_model.model)
    scopes: dict[str, str] = {}
    function, signature = _traceable(inference_model, list(weights.values()))
    model = inference_model.model
    with weights_without_memory(weights), rounding_casts(), silent():
        with any_size(model), recorded(model, scopes):
            concrete = function.get_concrete_function(*signature)
        _check_dtypes(concrete, scopes)
        source = _converted(concrete, opset, scopes).graph
    constants = {
        tensor.name: Constant.of(partial(onnx.numpy_helper.to_array, tensor))
        for tensor in source.initializer
    }
    captured = concrete.inputs[len(signature) :]
    values = (value for value, _ in concrete.graph.captures)
    for tensor, value in zip(captured, values, strict=True):
        if tensor.dtype == tf.resource:
            continue  # a variable that is not Keras's: already a constant
        constants[tensor.name] = Constant.of(partial(np.asarray, value))
    for name, variable in weights.items():
        constants[name] = Constant.of(partial(_memory, variable), variable.path)
    nested_names: dict[str, str] = {}
    for scope, path in scopes.items():
        name = nested_name(scope, scopes)
        # Several layers may have one path, or one be run by several.
        unique = nested_names.get(path, name) == name
        nested_names[path] = name if unique else path
    return Graph(
        opset=opset,
        nodes=list(source.node),
        constants=constants,
        inputs=typed("in", inference_model.inputs),
        outputs=typed("out", _traced_outputs(inference_model, concrete)),
        layers={
            node.name: layer
            for node in source.node
            if (layer := layer_in_scope(node.name, scopes))
        },
        nested_names=nested_names,
    )


def _check_dtypes(concrete: Any, scopes: Mapping[str, str]) -> None:
    """Raise `ConversionError` for a dtype that ONNX lacks."""
    for operation in concrete.graph.get_operations():
        for tensor in operation.outputs:
            dtype = tensor.dtype.base_dtype
            # tf2onnx has float16 for it, and ONNX Runtime few kernels.
            if dtype == tf.bfloat16 or dtype not in tf_utils.TF_TO_ONNX_DTYPE:
                raise ConversionError(
                    f"{_source(operation.name, scopes)} computes in "
                    f"{dtype.name}, which cannot be written to ONNX; "
                    "use float32 there"
                )


def _source(node: str, scopes: Mapping[str, str]) -> str:
    """Return the layer that made a node, else the node, for messages."""
    layer = nested_name(node, scopes)
    return f"layer {layer!r}" if layer else f"node {node!r}"


def _memory(variable: keras.Variable) -> np.ndarray:
    """Return a variable's value without a copy."""
    return np.asarray(tf.convert_to_tensor(variable))


def _traced_outputs(
    inference_model: InferenceModel, concrete: Any
) -> Iterator[TensorSpec]:
    """Yield the outputs with the sizes that TensorFlow knows.

    Those of Keras may be wrong: `rot90` swaps two axes for any rotation.
    """
    for index, spec in enumerate(inference_model.outputs):
        shape = concrete.structured_outputs[f"out{index}"].shape
        if shape.rank == len(spec.shape):
            yield replace(spec, shape=tuple(shape.as_list()))
        else:
            yield spec


def typed(
    prefix: str, specs: Iterable[TensorSpec]
) -> list[onnx.ValueInfoProto]:
    """Return numbered inputs or outputs; unknown axes get a symbol."""
    return [
        onnx.helper.make_tensor_value_info(
            f"{prefix}{index}",
            onnx.helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)),
            [
                length
                if length is not None
                else (f"{spec.name}_dim_{axis}" if axis else "batch")
                for axis, length in enumerate(spec.shape)
            ],
        )
        for index, spec in enumerate(specs)
    ]


def _converted(
    concrete, opset: int, scopes: Mapping[str, str]
) -> onnx.ModelProto:
    """Convert a traced function, and name the layer where that fails."""
    try:
        return _run_tf2onnx(concrete, opset, scopes)
    except Exception as error:
        if isinstance(error, ExportError) or exhausted(error):
            raise
        names = re.findall(r"[\w./]+", str(error))
        nodes = (x for x in names if layer_in_scope(x, scopes))
        node = next(nodes, "")
        raise ConversionError(
            f"tf2onnx cannot convert "
            f"{_source(node, scopes) if node else 'the model'}: "
            f"{reason_of(error)}; {_REMEDY}"
        ) from error


def _run_tf2onnx(
    concrete, opset: int, scopes: Mapping[str, str]
) -> onnx.ModelProto:
    """Convert a traced function; generated names are numbered from 1."""
    inputs = [tensor.name for tensor in concrete.inputs]
    outputs = [tensor.name for tensor in concrete.outputs]
    signature = tf.nest.flatten(concrete.structured_input_signature)
    renamed = {
        name: spec.name for name, spec in zip(inputs, signature, strict=False)
    }
    for name, tensor in concrete.structured_outputs.items():
        renamed[tensor.name] = name
    optimizers = dict(optimizer._get_optimizers())
    optimizers["merge_duplication"] = MergeFirst
    # It tries the orders of all letters: no end for an attention over two axes.
    del optimizers["einsum_optimizer"]
    utils.INTERNAL_NAME = 1
    with tf.device("/cpu:0"):  # eagerly: it reads variables of TensorFlow
        frozen = tf_loader.from_function(concrete, inputs, outputs)
    with tf.device("/cpu:0"), tf.Graph().as_default() as graph:
        tf.import_graph_def(frozen, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            continue_on_error=True,
            opset=opset,
            custom_op_handlers={
                name: as_handler(conversion)
                for name, conversion in CONVERSIONS.items()
            },
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=renamed,
        )
    # What a conversion replaces may still be there, with no reader.
    for node in _used_nodes(converted):
        if not _is_converted(node):
            condition = CONDITIONS.get(node.type, "")
            raise ConversionError(
                f"{_source(node.name, scopes)} computes {node.type}"
                f"{condition}, which ONNX cannot express; {_REMEDY}"
            )
    optimized = optimizer.optimize_graph(converted, optimizers=optimizers)
    return optimized.make_model("")


def _used_nodes(graph: Any) -> list[Node]:
    """Return the nodes of a graph and its bodies that have readers.

    The others are deleted here: tf2onnx would shuffle the nodes.
    """
    used = set(
        graph.extract_sub_graph_nodes(graph.outputs, remove_unused_inputs=False)
    )
    nodes = [node for node in graph.get_nodes() if node in used]
    graph.reset_nodes(nodes)
    bodies = ((node.get_body_graphs() or {}).values() for node in nodes)
    inner = map(_used_nodes, chain.from_iterable(bodies))
    return [*nodes, *chain.from_iterable(inner)]


def _weights(model: keras.Model) -> dict[str, keras.Variable]:
    """Return the variables that become graph inputs, by input name."""
    variables = {
        id(variable): variable
        for layer in model._flatten_layers()
        if isinstance(layer, WEIGHTED_LAYERS)
        for variable in layer.variables
    }
    return {f"w{index}": x for index, x in enumerate(variables.values())}


def _traceable(inference_model: InferenceModel, weights: list[keras.Variable]):
    """Return a tf.function of weights and inputs, and its signature."""
    inputs = set(map(id, weights))
    others = [
        (variable, variable.numpy())
        for variable in inference_model.model.variables
        if id(variable) not in inputs
    ]

    def call(*tensors):
        mapping = [*zip(weights, tensors, strict=False), *others]
        with keras.StatelessScope(state_mapping=mapping):
            outputs = inference_model.call(*tensors[len(weights) :])
        return {f"out{i}": tf.identity(x) for i, x in enumerate(outputs)}

    signature = [
        tf.TensorSpec(spec.shape, spec.dtype, name=f"{prefix}{index}")
        for prefix, specs in (("w", weights), ("in", inference_model.inputs))
        for index, spec in enumerate(specs)
    ]
    return tf.function(call, autograph=False), signature


def _is_converted(node: Node) -> bool:
    """Return whether a node is ONNX's, not one that tf2onnx left unchanged.

    The name is not enough: TensorFlow and ONNX share some, such as Max.
    """
    if node.is_graph_input() or node.type in ("Const", "If", "Loop", "Scan"):
        return True
    return node.need_skip() and onnx.defs.has(node.type, node.domain)
