"""From a Keras model to an ONNX graph that holds none of the large weights.

tf2onnx copies every constant many times, so the kernels and biases of the
layers in `WEIGHTED_LAYERS` are traced as graph inputs `w0`, `w1`, ... beside
the model's own inputs `in0`, `in1`, .... All other weights are constants:
tf2onnx must see the values of recurrent cells and batch norm to recognize
them.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
import onnx
import tensorflow as tf
from tensorflow.python.grappler import tf_optimizer
from tf2onnx import optimizer, tf_loader, tfonnx, utils
from tf2onnx.graph import Graph, Node

from keras_inception_export.errors import ConversionError
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.name_scopes import layer_in_scope, recorded

WEIGHTED_LAYERS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Embedding,
)


@dataclass(frozen=True)
class Conversion:
    """What tf2onnx made, with the way back to Keras.

    Args:
        model: inputs are `w0`, ... for the weights, `in0`, ... and one for
            each captured tensor; outputs are `out0`, ....
        weights: the Keras variable of each weight input.
        captured: the value of each captured tensor, by input name.
        scopes: the path of the Keras layer that ran in each TensorFlow name
            scope; the model itself is not among them.
    """

    model: onnx.ModelProto
    weights: dict[str, keras.Variable]
    captured: dict[str, np.ndarray]
    scopes: dict[str, str]


def convert(inference_model: InferenceModel, opset: int) -> Conversion:
    """Trace the inference model and convert it.

    Raises:
        ConversionError: an operation has no counterpart in ONNX.
    """
    weights = _weights(inference_model.model)
    scopes: dict[str, str] = {}
    function, signature = _traceable(inference_model, weights)
    with (
        recorded(inference_model.model, scopes),
        _weights_without_memory(len(weights)),
        _silent(),
    ):
        concrete = function.get_concrete_function(*signature)
        model = _run_tf2onnx(concrete, opset, scopes)
    captures = concrete.graph.captures
    names = [tensor.name for tensor in concrete.inputs[len(signature) :]]
    return Conversion(
        model=model,
        weights={f"w{index}": weight for index, weight in enumerate(weights)},
        captured={
            name: np.asarray(value)
            for name, (value, _) in zip(names, captures, strict=True)
        },
        scopes=scopes,
    )


def _run_tf2onnx(concrete, opset: int, scopes: dict) -> onnx.ModelProto:
    """Convert a traced function.

    The names that tf2onnx invents are counted from 1 each time.
    """
    arguments, results = concrete.structured_input_signature, concrete.outputs
    inputs = [tensor.name for tensor in concrete.inputs]
    outputs = [tensor.name for tensor in results]
    signature = [spec.name for spec in tf.nest.flatten(arguments)]
    renamed = dict(zip(inputs, signature, strict=False))
    for name, tensor in concrete.structured_outputs.items():
        renamed[tensor.name] = name
    optimizers = dict(optimizer._get_optimizers())
    optimizers["merge_duplication"] = _MergeFirst
    utils.INTERNAL_NAME = 1
    with tf.device("/cpu:0"), tf.Graph().as_default() as graph:
        frozen = tf_loader.from_function(concrete, inputs, outputs)
        tf.import_graph_def(frozen, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            continue_on_error=True,
            opset=opset,
            custom_op_handlers={"Erfc": (_erfc, [])},
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=renamed,
        )
    for node in _all_nodes(converted):
        if not _is_converted(node):
            layer = layer_in_scope(node.name, scopes)
            where = f"layer {layer!r}" if layer else f"node {node.name!r}"
            raise ConversionError(
                f"{where} computes {node.type}, which ONNX cannot express; "
                "use layers that ONNX knows, or export another format"
            )
    optimized = optimizer.optimize_graph(converted, optimizers=optimizers)
    return optimized.make_model("")


class _MergeFirst(optimizer.MergeDuplicatedNodesOptimizer):
    """Keeps the node whose name sorts first of those that are duplicates.

    tf2onnx keeps any, so that a node that two layers compute is sometimes one
    layer's and sometimes the other's.
    """

    def _merge_nodes_that_are_duplicated(self, nodes_to_process, graph):
        nodes_to_process.sort(key=lambda node: node.name)
        super()._merge_nodes_that_are_duplicated(nodes_to_process, graph)


def _weights(model: keras.Model) -> list[keras.Variable]:
    layers = [model, *model._flatten_layers(include_self=False)]
    found = {
        id(variable): variable
        for layer in layers
        if isinstance(layer, WEIGHTED_LAYERS)
        for variable in layer.variables
    }
    return list(found.values())


def _traceable(inference_model: InferenceModel, weights: list[keras.Variable]):
    """Return a tf.function over weights and inputs, and its signature."""
    inputs = {id(weight) for weight in weights}
    others = [
        (variable, variable.numpy())
        for variable in inference_model.model.variables
        if id(variable) not in inputs
    ]

    def call(*tensors):
        given = list(zip(weights, tensors, strict=False))
        with keras.StatelessScope(state_mapping=given + others):
            outputs = inference_model.call(*tensors[len(weights) :])
        return {
            f"out{index}": tf.identity(output)
            for index, output in enumerate(outputs)
        }

    signature = [
        tf.TensorSpec(weight.shape, weight.dtype, name=f"w{index}")
        for index, weight in enumerate(weights)
    ] + [
        tf.TensorSpec(spec.shape, spec.dtype, name=f"in{index}")
        for index, spec in enumerate(inference_model.inputs)
    ]
    return tf.function(call, autograph=False), signature


@contextmanager
def _weights_without_memory(number: int) -> Iterator[None]:
    """Keep Grappler from filling a tensor of zeros for each weight.

    It does so for every placeholder, to be able to run the graph; and it runs
    nothing here. An `ImmutableConst` has a shape and a dtype just as well.
    """
    weights = {f"w{index}" for index in range(number)}
    optimize = tf_optimizer.OptimizeGraph

    def lean(config, metagraph, *args, **kwargs):
        for node in metagraph.graph_def.node:
            if node.name in weights:
                node.op = "ImmutableConst"
                node.attr["memory_region_name"].s = b"none"
        optimized = optimize(config, metagraph, *args, **kwargs)
        for node in optimized.node:
            if node.name in weights:
                node.op = "Placeholder"
                del node.attr["memory_region_name"]
        return optimized

    tf_optimizer.OptimizeGraph = lean
    try:
        yield
    finally:
        tf_optimizer.OptimizeGraph = optimize


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what tf2onnx logs off the terminal, and TensorFlow below it.

    TensorFlow warns each time of what a SavedModel, loaded by this process
    before, has left behind.
    """
    levels = {
        logger: logger.level
        for logger in map(logging.getLogger, ("tf2onnx", "tensorflow"))
    }
    for logger in levels:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _all_nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.get_nodes():
        yield node
        for body in (node.get_body_graphs() or {}).values():
            yield from _all_nodes(body)


def _is_converted(node: Node) -> bool:
    """Tell an ONNX node from one that tf2onnx logged and left as it was.

    A name that both know, such as Max, does not tell.
    """
    if node.is_graph_input() or node.type in ("Const", "If", "Loop", "Scan"):
        return True
    return node.need_skip() and onnx.defs.has(node.type, node.domain)


def _erfc(context, node, name, arguments):
    """Write TensorFlow's Erfc, which ONNX lacks, as 1 - Erf(x)."""
    shapes, dtypes = node.output_shapes, node.output_dtypes
    output = node.output[0]
    one = np.ones((), utils.map_onnx_to_numpy_type(dtypes[0]))
    context.remove_node(name)
    erf = context.make_node(
        "Erf", [node.input[0]], name=f"{name}/Erf", dtypes=dtypes
    )
    context.make_node(
        "Sub",
        [context.make_const(utils.make_name("one"), one).output[0]]
        + erf.output,
        outputs=[output],
        name=name,
        shapes=shapes,
        dtypes=dtypes,
    )
