"""Measure the second moments of each kernel's inputs on the samples.

They show which inputs of a kernel are correlated. A kernel is multiplied by
rows of inputs: the vectors of a matrix product, the patches of a convolution
(channels first).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view

from keras_inception_export.formats.onnx.graph import Graph, attribute_of
from keras_inception_export.quantization.graph_values import watch

ROWS = 4096
"""Rows that are drawn at random from all samples together."""
_CHUNK = 1024  # rows per product; smaller products take longer in all

Moments = list[np.ndarray]
"""One square matrix per group of inputs: the sums of their products."""


def second_moments(
    graph: Graph,
    nodes: Mapping[str, Sequence[onnx.NodeProto]],
    group: int,
    samples: Mapping[str, np.ndarray],
    workdir: Path,
) -> dict[str, Moments]:
    """Return the moments of each kernel's inputs."""
    random = np.random.default_rng(0)
    number = -(-ROWS // len(next(iter(samples.values()))))
    names = dict.fromkeys(
        node.input[0] for users in nodes.values() for node in users
    )
    sums = {path: _Sums(group) for path in nodes}
    for values in watch(graph, list(names), samples, workdir):
        for path, users in nodes.items():
            for node in users:
                inputs = values[node.input[0]]
                rank = inputs.ndim - 1
                if node.op_type == "Conv":
                    kernel = graph.constants[node.input[1]].shape
                    inputs = _patches(node, inputs, kernel[2:])
                sums[path].add(_random_rows(inputs, rank, number, random))
    return {path: total.moments() for path, total in sums.items()}


class _Sums:
    """Sums of products over rows that are added a few at a time.

    Args:
        group: the number of inputs that are multiplied with each other.
    """

    def __init__(self, group: int) -> None:
        self._group = group
        self._moments: Moments = []
        self._pending: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        """Add rows."""
        self._pending.append(rows)
        if sum(map(len, self._pending)) >= _CHUNK:
            self._multiply()

    def moments(self) -> Moments:
        """Return the sums."""
        self._multiply()
        return self._moments

    def _multiply(self) -> None:
        if not self._pending:
            return
        rows = np.concatenate(self._pending)
        self._pending.clear()
        starts = range(0, rows.shape[1], self._group)
        parts = [rows[:, start : start + self._group] for start in starts]
        if not self._moments:
            widths = [part.shape[1] for part in parts]
            self._moments = [np.zeros((n, n), "float32") for n in widths]
        with np.errstate(invalid="ignore", over="ignore"):
            for moment, part in zip(self._moments, parts, strict=True):
                moment += part.T @ part


def _random_rows(
    inputs: np.ndarray, rank: int, number: int, random: np.random.Generator
) -> np.ndarray:
    """Return the inputs at random positions, one row per position."""
    shape = inputs.shape[:rank]
    total = math.prod(shape)
    chosen = random.choice(total, min(number, total), replace=False)
    rows = inputs[np.unravel_index(chosen, shape)]
    return rows.reshape(len(chosen), -1)


def _patches(
    node: onnx.NodeProto, images: np.ndarray, kernel: Sequence[int]
) -> np.ndarray:
    """Return the patches that a convolution multiplies by its kernel.

    Returns:
        A view of shape `(images, *positions, channels, *kernel)`.
    """
    rank = len(kernel)
    strides = attribute_of(node, "strides", [1] * rank)
    dilations = attribute_of(node, "dilations", [1] * rank)
    windows = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = _pads(node, images.shape[2:], windows, strides)
    padded = np.pad(images, [(0, 0), (0, 0), *pads])
    view = sliding_window_view(padded, windows, tuple(range(2, 2 + rank)))
    steps = [slice(None, None, step) for step in (*strides, *dilations)]
    return np.moveaxis(view[(slice(None), slice(None), *steps)], 1, 1 + rank)


def _pads(
    node: onnx.NodeProto,
    sizes: Sequence[int],
    windows: Sequence[int],
    strides: Sequence[int],
) -> list[tuple[int, int]]:
    """Return the padding before and after each spatial axis."""
    rank = len(sizes)
    mode = attribute_of(node, "auto_pad", b"NOTSET").decode()
    if not mode.startswith("SAME"):
        pads = attribute_of(node, "pads", [0] * 2 * rank)
        return list(zip(pads[:rank], pads[rank:], strict=True))
    needed = [
        max((-(-size // stride) - 1) * stride + window - size, 0)
        for size, window, stride in zip(sizes, windows, strides, strict=True)
    ]
    halves = [(total // 2, total - total // 2) for total in needed]
    return halves if mode == "SAME_UPPER" else [half[::-1] for half in halves]
