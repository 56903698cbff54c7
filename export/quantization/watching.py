"""The values within the twin's graph, as ONNX Runtime computes them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_inception_export.batches import batches
from keras_inception_export.formats.onnx_graph import Graph
from keras_inception_export.formats.onnx_inside import Inside
from keras_inception_export.formats.onnx_writer import write_file


def watch(
    graph: Graph,
    names: Sequence[str],
    samples: Mapping[str, np.ndarray],
    folder: Path,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield values by their name, for one sample after the other.

    Where the graph has a fixed batch size, samples come in such batches.

    Args:
        graph: the twin's graph.
        names: of values that are computed or given.
        samples: an array an input name.
        folder: where there is room for a temporary file.
    """
    path = folder / "watched.onnx"
    write_file(graph, path)
    inside = Inside(path, [name for name in names if name not in samples])
    fixed = graph.inputs[0].type.tensor_type.shape.dim[0].dim_value
    for batch in batches(samples, fixed or 1):
        yield {**batch, **dict(inside.read(batch))}
