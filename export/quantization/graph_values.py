"""Compute values inside the ONNX graph of an inference model."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_inception_export.data.batching import batches
from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.intermediates import OnnxIntermediates
from keras_inception_export.formats.onnx.serialize import write_file


def watch(
    graph: Graph,
    names: Sequence[str],
    samples: Mapping[str, np.ndarray],
    workdir: Path,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield, per sample, the values of these names.

    Where the graph has a fixed batch size, they are yielded per batch.
    """
    path = workdir / "watched.onnx"
    write_file(graph, path)
    computed = [name for name in names if name not in samples]
    fixed = graph.inputs[0].type.tensor_type.shape.dim[0].dim_value
    feeds = list(batches(samples, fixed or 1))
    intermediates = OnnxIntermediates(path)
    for feed, values in zip(
        feeds, intermediates.read(computed, feeds), strict=True
    ):
        yield {**feed, **dict(values)}
