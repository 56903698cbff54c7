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
    is that of Keras. Kernels of grouped and transposed convolutions are left
    out, and those with inputs that are not finite.

    Raises:
        ConversionError: if ONNX cannot express the model.
    """
    graph = float_graph(inference_model, opset)
    paths = {variable.path for variable in inference_model.model.variables}
    nodes = defaultdict(list)  # that read each kernel
    for node in layer_nodes(graph):
        path = graph.constants[node.input[1]].weight or ""
        if path in paths and attribute_of(node, "group", 1) == 1:
            nodes[path].append(node)
    moments = second_moments(graph, nodes, GROUP, calibration, workdir)
    return {
        path: _rounded(_in_steps(graph, users[0]), moments[path])
        for path, users in nodes.items()
        if all(np.isfinite(moment).all() for moment in moments[path])
    }


def _in_steps(graph: Graph, node: onnx.NodeProto) -> np.ndarray:
    """Return a kernel in units of its int8 steps, in Keras's order of axes."""
    kernel = graph.constants[node.input[1]].load()
    if node.op_type == "Conv":
        kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
    return kernel / quantizer.kernel_scale(kernel, axis=-1)


def _rounded(steps: np.ndarray, moments: Sequence[np.ndarray]) -> np.ndarray:
    """Return the integers of a kernel, one group of inputs at a time."""
    # Input channels first, as in the moments.
    channels_first = np.moveaxis(steps, -2, 0)
    rows = channels_first.reshape(-1, steps.shape[-1])
    integers = np.empty(rows.shape, np.int8)
    start = 0
    for moment in moments:
        group = slice(start, start := start + len(moment))
        integers[group] = _rounded_together(rows[group], moment)
    return np.moveaxis(integers.reshape(channels_first.shape), 0, -2)


def _rounded_together(steps: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Round the rows of a matrix, those with the largest inputs first."""
    order = np.argsort(-np.diag(moment), kind="stable")
    moment = moment[np.ix_(order, order)].astype("float64")
    mean = np.diag(moment).mean()
    moment[np.diag_indices_from(moment)] += DAMPING * mean or 1.0
    # Each row holds how the later rows compensate the error of this one.
    shares = np.linalg.cholesky(np.linalg.inv(moment)).T.astype("float32")
    shares /= np.diag(shares)[:, None]
    original = steps[order]
    targets = original.copy()
    integers = np.empty_like(targets)
    for start in range(0, len(targets), _BLOCK):
        stop = min(start + _BLOCK, len(targets))
        for row in range(start, stop):
            integers[row] = _nearest(targets[row], original[row])
            targets[row] -= integers[row]  # from here on, the error
            later = slice(row + 1, stop)
            targets[later] -= np.outer(shares[row, later], targets[row])
        targets[stop:] -= shares[start:stop, stop:].T @ targets[start:stop]
    result = np.empty_like(integers)
    result[order] = integers
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
