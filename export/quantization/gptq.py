"""Round kernels to int8 so that the outputs of their layers change least.

The nearest integer is best for each weight, but not for a sum of many, in
which the rounding errors add up. So the weights are rounded one input after
the other, and the error of each is compensated by the inputs that are not yet
rounded, as far as they are correlated with it on the calibration samples.

See Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative
Pre-trained Transformers", 2022, arXiv:2210.17323.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from keras_inception_export.formats import quantizer
from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.formats.onnx.graph import Graph, attribute_of
from keras_inception_export.formats.onnx.quantize.placement import layer_nodes
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.quantization.calibration_statistics import (
    second_moments,
)

GROUP = 576
"""Inputs per group; only inputs of the same group compensate each other."""
DAMPING = 0.01
"""Fraction of the mean of all inputs' mean squares that is added to each, so
that no weight moves far from its value for the sake of few samples."""
_BLOCK = 64  # inputs whose errors are passed on by one matrix product


def round_kernels(
    inference_model: InferenceModel,
    calibration: Mapping[str, np.ndarray],
    workdir: Path,
    opset: int = 18,
) -> dict[str, np.ndarray]:
    """Return the integers of each kernel, keyed by the path of the variable.

    Their unit is 1/127 of the largest weight of the filter; the order of axes
    is that of Keras. Kernels of transposed convolutions are left out, and
    those with inputs that are not finite.

    Raises:
        ConversionError: if ONNX cannot express the model.
    """
    graph = float_graph(inference_model, opset)
    variables = {v.path: v for v in inference_model.model.variables}
    nodes = defaultdict(list)  # that read each kernel
    for node in layer_nodes(graph):
        path = graph.constants[node.input[1]].weight or ""
        if path in variables:
            nodes[path].append(node)
    moments = second_moments(graph, nodes, GROUP, calibration, workdir)
    return {
        path: _rounded(graph, users[0], moments[path]).reshape(
            variables[path].shape
        )
        for path, users in nodes.items()
        if all(np.isfinite(moment).all() for moment in moments[path])
    }


def _rounded(
    graph: Graph, node: onnx.NodeProto, moments: Sequence[np.ndarray]
) -> np.ndarray:
    """Return the integers of a kernel, one part of its inputs at a time.

    Their axes are in Keras's order, but for depthwise kernels, whose channels
    and multiples are one axis.
    """
    kernel = graph.constants[node.input[1]].load()
    is_convolution = node.op_type == "Conv"
    filters = kernel if is_convolution else kernel.T  # one per row
    groups = attribute_of(node, "group", 1)
    steps = filters / quantizer.kernel_scale(filters, axis=0)
    # (groups, inputs, filters), input channels first, as in the moments.
    columns = steps.reshape(groups, len(filters) // groups, -1).swapaxes(1, 2)
    integers = np.empty(columns.shape, np.int8)
    start = 0
    for moment in moments:
        part = slice(start, start := start + moment.shape[-1])
        integers[:, part] = _rounded_together(columns[:, part], moment)
    integers = integers.swapaxes(1, 2).reshape(filters.shape)
    if is_convolution:
        return np.moveaxis(integers, (0, 1), (-1, -2))
    return integers.T


def _rounded_together(steps: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Round the rows of matrices, those with the largest inputs first.

    The first axis is that of the matrices: a depthwise kernel has one of nine
    rows per channel, and all of them are rounded at once.
    """
    sizes = moments.diagonal(axis1=1, axis2=2)
    order = np.argsort(-sizes, axis=1, kind="stable")[..., None]
    moments = np.take_along_axis(moments, order, 1)
    moments = np.take_along_axis(moments, order.swapaxes(1, 2), 2)
    moments = moments.astype("float64")
    damping = DAMPING * sizes.mean(axis=1, dtype="float64", keepdims=True)
    diagonal = np.arange(moments.shape[1])
    moments[:, diagonal, diagonal] += np.where(damping > 0, damping, 1.0)
    # Each row holds how the later rows compensate the error of this one.
    shares = np.linalg.cholesky(np.linalg.inv(moments)).swapaxes(1, 2)
    shares = shares.astype("float32")
    shares /= shares.diagonal(axis1=1, axis2=2)[..., None].copy()
    original = np.take_along_axis(steps, order, 1)
    targets = original.copy()
    integers = np.empty_like(targets)
    for start in range(0, targets.shape[1], _BLOCK):
        stop = min(start + _BLOCK, targets.shape[1])
        for row in range(start, stop):
            integers[:, row] = _nearest(targets[:, row], original[:, row])
            targets[:, row] -= integers[:, row]  # from here on, the error
            later = slice(row + 1, stop)
            targets[:, later] -= (
                shares[:, row, later, None] * targets[:, row, None]
            )
        passed_on = shares[:, start:stop, stop:].swapaxes(1, 2)
        targets[:, stop:] -= passed_on @ targets[:, start:stop]
    result = np.empty_like(integers)
    np.put_along_axis(result, order, integers, 1)
    return result


def _nearest(targets: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Return the integers nearest to the targets, within the allowed drift.

    The largest weight of a filter keeps its integer, since the quantizers
    compute the scale from it.
    """
    near = np.rint(original)
    largest, drift = quantizer.LARGEST, quantizer.DRIFT
    low = np.maximum(near - drift, -largest)
    high = np.minimum(near + drift, largest)
    integers = np.clip(np.rint(targets), low, high)
    return np.where(np.abs(near) == largest, near, integers)
