"""Changes to tf2onnx and Grappler while a model is converted."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from tensorflow.python.grappler import tf_optimizer
from tf2onnx import optimizer, utils
from tf2onnx.optimizer import back_to_back_optimizer


class MergeFirst(optimizer.MergeDuplicatedNodesOptimizer):
    """Of duplicate nodes, keep the one whose name sorts first.

    tf2onnx keeps an arbitrary one, so that a node that two layers compute is
    attributed sometimes to one layer and sometimes to the other.
    """

    def _merge_nodes_that_are_duplicated(self, nodes_to_process, graph):
        nodes_to_process.sort(key=lambda node: node.name)
        super()._merge_nodes_that_are_duplicated(nodes_to_process, graph)


@contextmanager
def weights_without_memory(weights: dict[str, Any]) -> Iterator[None]:
    """Prevent Grappler from allocating a tensor of zeros per weight.

    It does so for every placeholder, to be able to run the graph, which it
    does not do here. An `ImmutableConst` also has a shape and a dtype.
    """
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

    with patch.object(tf_optimizer, "OptimizeGraph", lean):
        yield


@contextmanager
def rounding_casts() -> Iterator[None]:
    """Keep the first of two casts unless it changes no value.

    tf2onnx removes every cast to floats before another cast, and every cast
    to integers before one to booleans.
    """
    functions = back_to_back_optimizer._func_map
    merge = functions[("Cast",)]

    def merge_exact(graph, node, consumers):
        given = utils.map_onnx_to_numpy_type(graph.get_dtype(node.input[0]))
        wanted = utils.map_onnx_to_numpy_type(node.get_attr_value("to"))
        if np.can_cast(given, wanted, "safe"):
            return merge(graph, node, consumers)
        return [consumer.output[0] for consumer in consumers]

    with patch.dict(functions, {("Cast",): merge_exact}):
        yield


@contextmanager
def silent() -> Iterator[None]:
    """Suppress the log messages of tf2onnx and of TensorFlow below it.

    TensorFlow warns about what a SavedModel that this process loaded before
    has left in the default graph.
    """
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
