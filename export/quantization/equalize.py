"""Channels that are far larger than the others, made as large as they.

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

TRIGGER = 8.0
"""A channel is scaled when its largest value is so many times the median of
all channels' largest values. Healthy layers of a trained hybrid stay below
2.3, trouble starts at 10; scaling everything costs 2 dB."""


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
        _scale(flow, _factors(peaks[flow.value]), variables) for flow in flows
    )


def _factors(peaks):
    """Return by how much each channel is too large, a power of two."""
    alive = peaks[peaks > 0]
    if not alive.size:
        return np.ones_like(peaks)
    ratio = peaks / np.median(alive)
    powers = np.exp2(np.round(np.log2(np.maximum(ratio, 1))))
    return np.where(ratio > TRIGGER, powers, 1.0)


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
