"""Which inputs of a kernel go together, on samples: their second moments.

What a kernel is multiplied by are rows of inputs: vectors where it is a matrix
product's; a convolution's are patches, channel by channel.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view

from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.passes.simplify import attribute_of
from keras_inception_export.quantization.graph_values import watch

ROWS = 4096
"""How many rows are taken of all samples together, at random."""
_AT_ONCE = 1024  # rows; fewer take longer

Moments = list[np.ndarray]
"""A square matrix for each group of inputs: the sums of their products."""


def second_moments(
    graph: Graph,
    nodes: Mapping[str, Sequence[onnx.NodeProto]],
    group: int,
    samples: Mapping[str, np.ndarray],
    folder: Path,
) -> dict[str, Moments]:
    """Return the moments of each kernel's inputs.

    Args:
        graph: the inference model's graph.
        nodes: what a kernel computes with, by its path: convolutions and
            products of matrices.
        group: of so many inputs, which follow each other, the products are
            taken; the inputs of two groups count as independent.
        samples: an array an input name.
        folder: where there is space for a temporary file.
    """
    random = np.random.default_rng(0)
    number = -(-ROWS // len(next(iter(samples.values()))))
    names = dict.fromkeys(
        node.input[0] for readers in nodes.values() for node in readers
    )
    sums = {path: _Sums(group) for path in nodes}
    for values in watch(graph, list(names), samples, folder):
        for path, readers in nodes.items():
            for node in readers:
                read = values[node.input[0]]
                rank = read.ndim - 1
                if node.op_type == "Conv":
                    kernel = graph.constants[node.input[1]].shape
                    read = _patches(node, read, kernel[2:])
                sums[path].add(_some(read, rank, number, random))
    return {path: found.moments() for path, found in sums.items()}


class _Sums:
    """Sums of products, over rows that come a few at a time.

    Args:
        group: how many inputs are multiplied with each other.
    """

    def __init__(self, group: int) -> None:
        self._group = group
        self._moments: Moments = []
        self._waiting: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        """Take over more rows."""
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= _AT_ONCE:
            self._multiply()

    def moments(self) -> Moments:
        """Return the sums."""
        self._multiply()
        return self._moments

    def _multiply(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        self._waiting.clear()
        starts = range(0, rows.shape[1], self._group)
        parts = [rows[:, start : start + self._group] for start in starts]
        if not self._moments:
            widths = [part.shape[1] for part in parts]
            self._moments = [np.zeros((n, n), "float32") for n in widths]
        with np.errstate(invalid="ignore", over="ignore"):
            for moment, part in zip(self._moments, parts, strict=True):
                moment += part.T @ part


def _some(
    places: np.ndarray, rank: int, number: int, random: np.random.Generator
) -> np.ndarray:
    """Return the rows at random places.

    Args:
        places: what is read at each place; the place are the first axes.
        rank: how many those are.
        number: how many rows, at most.
        random: the source of chance.
    """
    shape = places.shape[:rank]
    total = math.prod(shape)
    chosen = random.choice(total, min(number, total), replace=False)
    rows = places[np.unravel_index(chosen, shape)]
    return rows.reshape(len(chosen), -1)


def _patches(
    node: onnx.NodeProto, images: np.ndarray, kernel: Sequence[int]
) -> np.ndarray:
    """Return what a convolution reads, at each place of each image.

    Args:
        node: the convolution.
        images: of shape (images, channels, *space).
        kernel: its size along the axes of space.

    Returns:
        A view of shape (images, *places, channels, *kernel).
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
    space: Sequence[int],
    windows: Sequence[int],
    strides: Sequence[int],
) -> list[tuple[int, int]]:
    """Return how many zeros stand before and behind each axis of space."""
    rank = len(space)
    mode = attribute_of(node, "auto_pad", b"NOTSET").decode()
    if not mode.startswith("SAME"):
        pads = attribute_of(node, "pads", [0] * 2 * rank)
        return list(zip(pads[:rank], pads[rank:], strict=True))
    needed = [
        max((-(-size // stride) - 1) * stride + window - size, 0)
        for size, window, stride in zip(space, windows, strides, strict=True)
    ]
    halves = [(total // 2, total - total // 2) for total in needed]
    return halves if mode == "SAME_UPPER" else [half[::-1] for half in halves]
