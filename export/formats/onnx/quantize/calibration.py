"""Measure the ranges of a graph's values by running it on samples."""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from keras_inception_export.data.batching import batches
from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.serialize import write_file

UNIT_OUTPUT = frozenset({"Sigmoid", "Softmax"})
"""Operators whose range is 0 to 1 by definition; it is not measured."""

Ranges = dict[str, tuple[float, float]]
"""The smallest and the largest element, by value name."""


def calibrate(
    graph: Graph, folder: Path, samples: Mapping[str, np.ndarray]
) -> Ranges:
    """Return the range of each value over the samples."""
    batch_size = graph.inputs[0].type.tensor_type.shape.dim[0].dim_value
    with TemporaryDirectory(dir=folder) as name:
        path = Path(name, "float.onnx")
        write_file(graph, path)
        calibrator = create_calibrator(
            path,
            augmented_model_path=str(path.with_name("observed.onnx")),
            calibrate_method=CalibrationMethod.MinMax,
            use_external_data_format=len(os.listdir(name)) > 1,
        )
        # It keeps two numbers per value and batch.
        feeds = batches(samples, batch_size or 1)
        reader = SimpleNamespace(get_next=lambda: next(feeds, None))
        calibrator.collect_data(reader)
    ranges = {
        name: (float(np.min(data.lowest)), float(np.max(data.highest)))
        for name, data in calibrator.compute_data().items()
    }
    for node in graph.nodes:
        if node.op_type in UNIT_OUTPUT:
            ranges[node.output[0]] = (0.0, 1.0)
    return ranges
