"""Measure values inside the ONNX graph of a model on calibration samples.

Equalization needs the largest magnitude of each channel (`channel_peaks`),
and rounding the correlations of a kernel's inputs (`second_moments`).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view

from keras_inception_export.data.batching import Arrays, batches
from keras_inception_export.formats.onnx.graph import Graph, attribute_of
from keras_inception_export.formats.onnx.intermediates import OnnxIntermediates
from keras_inception_export.formats.onnx.serialize import write_file

ROWS = 4096
"""Rows that are drawn at random from all samples together."""
_CHUNK = 1024  # rows per product; smaller products take longer in all


def _watch(
    graph: Graph, names: Sequence[str], samples: Arrays, workdir: Path
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the values of these names, per sample or per fixed batch."""
    path = workdir / "watched.onnx"
    write_file(graph, path)
    computed = [name for name in names if name not in samples]
    fixed = graph.inputs[0].type.tensor_type.shape.dim[0].dim_value
    feeds = list(batches(samples, fixed or 1))
    found = OnnxIntermediates(path).read(computed, feeds)
    for feed, values in zip(feeds, found, strict=True):
        yield {**feed, **dict(values)}


def channel_peaks(
    graph: Graph, names: Sequence[str], calibration: Arrays, workdir: Path
) -> dict[str, np.ndarray]:
    """Return the largest magnitude of each channel of the named values."""
    peaks: dict[str, np.ndarray] = {}
    for values in _watch(graph, names, calibration, workdir) if names else ():
        for name in names:
            magnitudes = np.abs(values[name])
            axes = (0, *range(2, magnitudes.ndim))
            peaks[name] = np.maximum(peaks.get(name, 0), magnitudes.max(axes))
    return peaks


def second_moments(
    graph: Graph,
    nodes: Mapping[str, Sequence[onnx.NodeProto]],
    part: int,
    samples: Arrays,
    workdir: Path,
) -> dict[str, list[np.ndarray]]:
    """Return the sums of products of each kernel's inputs.

    A kernel is multiplied by rows of inputs: the vectors of a matrix product,
    the patches of a convolution (channels first). There is one array per part
    of at most `part` inputs, which are multiplied with each other; it holds a
    square matrix for each of the groups of a convolution.
    """
    random = np.random.default_rng(0)
    number = -(-ROWS // len(next(iter(samples.values()))))
    read = (node.input[0] for users in nodes.values() for node in users)
    names = list(dict.fromkeys(read))
    sums = {path: _Sums(part) for path in nodes}
    for values in _watch(graph, names, samples, workdir):
        for path, users in nodes.items():
            for node in users:
                inputs = values[node.input[0]]
                rank = inputs.ndim - 1
                if node.op_type == "Conv":
                    kernel = graph.constants[node.input[1]].shape
                    inputs = _patches(node, inputs, kernel[2:])
                rows = _random_rows(inputs, rank, number, random)
                groups = attribute_of(node, "group", 1)
                sums[path].add(rows.reshape(len(rows), groups, -1))
    return {path: total.moments() for path, total in sums.items()}


class _Sums:
    """Sums of products over rows that are added a few at a time."""

    def __init__(self, part: int) -> None:
        self._part = part
        self._moments: list[np.ndarray] = []
        self._pending: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        self._pending.append(rows)
        if sum(map(len, self._pending)) >= _CHUNK:
            self.moments()

    def moments(self) -> list[np.ndarray]:
        """Return the sums, with those of the rows that are pending."""
        if self._pending:
            rows = np.concatenate(self._pending).swapaxes(0, 1)
            self._pending.clear()
            starts = range(self._part, rows.shape[2], self._part)
            parts = np.split(rows, starts, axis=2)
            with np.errstate(invalid="ignore", over="ignore"):
                moments = [part.swapaxes(1, 2) @ part for part in parts]
                if self._moments:
                    pairs = zip(self._moments, moments, strict=True)
                    moments = [np.add(*pair, out=pair[0]) for pair in pairs]
            self._moments = moments
        return self._moments


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
    """Return what a convolution multiplies by its kernel.

    It is a view of shape `(images, *positions, channels, *kernel)`.
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
    halves = []
    for size, window, stride in zip(sizes, windows, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        halves.append((total // 2, total - total // 2))
    return halves if mode == "SAME_UPPER" else [half[::-1] for half in halves]
