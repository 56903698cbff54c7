"""The values within the inference model's graph, as ONNX Runtime computes them."""

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
    folder: Path,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield values by their name, for one sample after the other.

    Where the graph has a fixed batch size, samples come in such batches.

    Args:
        graph: the inference model's graph.
        names: of values that are computed or given.
        samples: an array an input name.
        folder: where there is space for a temporary file.
    """
    path = folder / "watched.onnx"
    write_file(graph, path)
    computed = [name for name in names if name not in samples]
    fixed = graph.inputs[0].type.tensor_type.shape.dim[0].dim_value
    feeds = list(batches(samples, fixed or 1))
    intermediates = OnnxIntermediates(path)
    for feed, values in zip(
        feeds, intermediates.read(computed, feeds), strict=True
    ):
        yield {**feed, **dict(values)}
