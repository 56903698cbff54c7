"""Kernels in int8, rounded to where the outputs of their layers err least.

The nearest integer is best for each weight, but not for the sum of many, to
which their errors add up. So weights are rounded one input after the other,
and what each is off by is made up for by the inputs still to come, as far as
they go together with it on the calibration samples.

See Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers", 2022, arXiv:2210.17323.
"""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.passes.simplify import attribute_of
from keras_inception_export.formats.onnx.quantize.placement import layer_nodes
from keras_inception_export.formats.quantizer import (
    DRIFT,
    LARGEST,
    kernel_scale,
)
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.quantization.calibration_statistics import (
    Moments,
    second_moments,
)

GROUP = 576
"""How many inputs make up for each other."""
DAMPING = 0.01
"""What is added to each input's mean square, as a part of the mean of all: so
no weight goes far from its value for what few samples show."""
_AT_ONCE = 64  # inputs whose errors are handed on by one product


def round_kernels(
    inference_model: InferenceModel,
    calibration: Mapping[str, np.ndarray],
    folder: Path,
    opset: int = 18,
) -> dict[str, np.ndarray]:
    """Return the integers of kernels, by their path, in Keras's order of axes.

    They count steps of 1/127 of the largest weight of their filter. Kernels
    of grouped and of transposed convolutions are left out, and those whose
    inputs are not finite.

    Args:
        inference_model: the float32 inference model.
        calibration: samples, an array an input name.
        folder: a folder for temporary files.
        opset: the ONNX operator set of the graph. Defaults to `18`.

    Raises:
        ConversionError: ONNX, in which the inference model is looked into, cannot
            express it.
    """
    graph = float_graph(inference_model, opset)
    nodes = _nodes(
        graph, {variable.path for variable in inference_model.model.variables}
    )
    moments = second_moments(graph, nodes, GROUP, calibration, folder)
    return {
        path: _rounded(_steps(graph, readers[0]), moments[path])
        for path, readers in nodes.items()
        if all(np.isfinite(moment).all() for moment in moments[path])
    }


def _nodes(graph: Graph, paths: set[str]) -> dict[str, list[onnx.NodeProto]]:
    """Return what computes with each kernel."""
    nodes = defaultdict(list)
    for node in layer_nodes(graph):
        path = graph.constants[node.input[1]].weight
        if path in paths and attribute_of(node, "group", 1) == 1:
            nodes[path].append(node)
    return nodes


def _steps(graph: Graph, node: onnx.NodeProto) -> np.ndarray:
    """Return a kernel in steps of its filters, in Keras's order of axes."""
    kernel = graph.constants[node.input[1]].load()
    if node.op_type == "Conv":
        kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
    return kernel / kernel_scale(kernel, axis=-1)


def _rounded(steps: np.ndarray, moments: Moments) -> np.ndarray:
    """Return the integers of a kernel, group by group of its inputs."""
    first = np.moveaxis(steps, -2, 0)  # channels, as the moments have them
    rows = first.reshape(-1, steps.shape[-1])
    integers = np.empty(rows.shape, np.int8)
    start = 0
    for moment in moments:
        group = slice(start, start := start + len(moment))
        integers[group] = _rounded_together(rows[group], moment)
    return np.moveaxis(integers.reshape(first.shape), 0, -2)


def _rounded_together(steps: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Round the rows of a matrix, those that matter most first.

    Args:
        steps: what to round, a row an input and a column a filter.
        moment: the sums of products of the inputs.
    """
    order = np.argsort(-np.diag(moment), kind="stable")
    moment = moment[np.ix_(order, order)].astype("float64")
    mean = np.diag(moment).mean()
    moment[np.diag_indices_from(moment)] += DAMPING * mean or 1.0
    # A row of it says how the rows behind make up for what one is off by.
    shares = np.linalg.cholesky(np.linalg.inv(moment)).T.astype("float32")
    shares /= np.diag(shares)[:, None]
    original = steps[order]
    wanted = original.copy()
    integers = np.empty_like(wanted)
    for start in range(0, len(wanted), _AT_ONCE):
        stop = min(start + _AT_ONCE, len(wanted))
        for row in range(start, stop):
            integers[row] = _nearest(wanted[row], original[row])
            wanted[row] -= integers[row]
            wanted[row + 1 : stop] -= np.outer(
                shares[row, row + 1 : stop], wanted[row]
            )
        wanted[stop:] -= shares[start:stop, stop:].T @ wanted[start:stop]
    result = np.empty_like(integers)
    result[order] = integers
    return result


def _nearest(wanted: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Return the nearest integers that may stand for the original weights.

    A filter's largest weight stays, for its scale is told by it.
    """
    near = np.rint(original)
    low = np.maximum(near - DRIFT, -LARGEST)
    high = np.minimum(near + DRIFT, LARGEST)
    found = np.clip(np.rint(wanted), low, high)
    return np.where(np.abs(near) == LARGEST, near, found)
