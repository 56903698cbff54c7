"""Channels of one activation, made nearly as large as each other.

One scale serves all channels of an activation in int8, so a channel that is a
thousand times larger than the others leaves them no steps. Through ReLU,
pooling and concatenation a factor can be moved from the kernel that computes
a channel into the kernels that read it. The factors are powers of two, so in
floating point nothing changes, not even the rounding.

See Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias
Correction", 2019, arXiv:1906.04721.
"""

from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from keras_inception_export.formats.onnx.export import float_graph
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.quantization.channel_flows import (
    Flow,
    channel_flows,
    channel_peaks,
)

SMALLEST = 1 / 16
"""A channel whose largest value is a smaller part of the median of all
channels' counts as that large: on other samples it may be."""


def equalize(
    inference_model: InferenceModel,
    calibration: Mapping[str, np.ndarray],
    workdir: Path,
    opset: int = 18,
) -> tuple[InferenceModel, int]:
    """Return a copy with scaled channels, and how many were scaled.

    The copy computes the same. Where no channel needs scaling, it is the
    model itself.

    Args:
        inference_model: the float32 inference model; it stays as it is.
        calibration: samples, one array per input name.
        workdir: a folder for temporary files.
        opset: the ONNX operator set of the graph. Defaults to `18`.
    """
    graph = float_graph(inference_model, opset)
    flows = channel_flows(graph, _by_path(inference_model))
    peaks = channel_peaks(graph, flows, calibration, workdir)
    factors = [channel_factors(peaks[flow.value]) for flow in flows]
    scaled = sum(int((values != 1).sum()) for values in factors)
    if not scaled:
        return inference_model, 0
    copy = inference_model.copy()
    variables = _by_path(copy)
    for flow, values in zip(flows, factors, strict=True):
        if (values != 1).any():
            _scale(flow, values, variables)
    return copy, scaled


def _by_path(inference_model: InferenceModel) -> dict[str, keras.Variable]:
    return {v.path: v for v in inference_model.model.variables}


def channel_factors(peaks: np.ndarray) -> np.ndarray:
    """Return by how much each channel is too large, a power of two.

    Divided by them, all channels are between half as large as the largest and
    as large; the median of them stays as it is.

    Args:
        peaks: the largest value of each channel of one kernel.
    """
    factors, alive = np.ones(peaks.shape), peaks > 0
    if alive.any():
        sizes = np.maximum(peaks[alive], SMALLEST * np.median(peaks[alive]))
        powers = np.ceil(np.log2(sizes / sizes.max()))
        factors[alive] = np.exp2(powers - np.round(np.median(powers)))
    return factors


def _scale(flow: Flow, factors, variables) -> None:
    """Move factors from the kernel into its readers."""
    _multiply(variables[flow.kernel], -1, 0, 1 / factors)
    if flow.bias:
        _multiply(variables[flow.bias], -1, 0, 1 / factors)
    for kernel, first in flow.readers:
        _multiply(variables[kernel], -2, first, factors)


def _multiply(variable, axis, first, factors):
    """Multiply a part of a variable along one axis."""
    value = np.array(keras.ops.convert_to_numpy(variable))
    part = np.moveaxis(value, axis, -1)[..., first : first + len(factors)]
    part *= factors.astype(value.dtype)
    variable.assign(value)
