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

from keras_inception_export.formats.onnx import float_graph
from keras_inception_export.quantization.channels import (
    Flow,
    channel_flows,
    channel_peaks,
)
from keras_inception_export.twin import InferenceTwin

SMALLEST = 1 / 16
"""A channel whose largest value is a smaller part of the median of all
channels' counts as that large: on other samples it may be."""


def equalize(
    twin: InferenceTwin,
    calibration: Mapping[str, np.ndarray],
    folder: Path,
) -> int:
    """Scale channels in the twin's weights; return how many.

    What the twin computes stays the same.

    Args:
        twin: the float32 inference twin; its kernels and biases are changed.
        calibration: samples, an array an input name.
        folder: where there is room for a temporary file.
    """
    variables = {variable.path: variable for variable in twin.model.variables}
    graph = float_graph(twin)
    flows = channel_flows(graph, variables)
    peaks = channel_peaks(graph, flows, calibration, folder)
    return sum(
        _scale(flow, channel_factors(peaks[flow.value]), variables)
        for flow in flows
    )


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


def _scale(flow: Flow, factors, variables) -> int:
    """Move factors from the kernel into its readers; return how many."""
    number = int((factors != 1).sum())
    if number:
        _multiply(variables[flow.kernel], -1, 0, 1 / factors)
        if flow.bias:
            _multiply(variables[flow.bias], -1, 0, 1 / factors)
        for kernel, first in flow.readers:
            _multiply(variables[kernel], -2, first, factors)
    return number


def _multiply(variable, axis, first, factors):
    """Multiply a part of a variable along one axis."""
    value = np.array(keras.ops.convert_to_numpy(variable))
    part = np.moveaxis(value, axis, -1)[..., first : first + len(factors)]
    part *= factors.astype(value.dtype)
    variable.assign(value)
