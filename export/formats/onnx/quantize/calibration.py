"""The ranges of an ONNX graph's values, by running it on samples."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import (
    CalibrationDataReader,
    create_calibrator,
)

from keras_inception_export.data.batching import batches
from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.serialize import write_file

UNIT_OUTPUT = frozenset({"Sigmoid", "Softmax"})
"""Operators that return numbers from 0 to 1, whatever the samples show."""

Ranges = dict[str, tuple[float, float]]
"""The least and the largest number of each value, by its name."""


def calibrate(
    graph: Graph, folder: Path, samples: Mapping[str, np.ndarray]
) -> Ranges:
    """Return the least and the largest number of each value, over samples."""
    fixed = graph.inputs[0].type.tensor_type.shape.dim[0].dim_value
    with TemporaryDirectory(dir=folder) as name:
        path = Path(name, "float.onnx")
        write_file(graph, path)
        calibrator = create_calibrator(
            path,
            augmented_model_path=str(path.with_name("observed.onnx")),
            calibrate_method=CalibrationMethod.MinMax,
            use_external_data_format=len(os.listdir(name)) > 1,
        )
        # Of each batch it keeps two numbers a value.
        calibrator.collect_data(_Reader(batches(samples, fixed or 1)))
    ranges = {
        name: (float(np.min(data.lowest)), float(np.max(data.highest)))
        for name, data in calibrator.compute_data().items()
    }
    for node in graph.nodes:
        if node.op_type in UNIT_OUTPUT:
            ranges[node.output[0]] = (0.0, 1.0)
    return ranges


class _Reader(CalibrationDataReader):
    """Hands on batches one by one."""

    def __init__(self, feeds: Iterator[dict]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict | None:
        return next(self._feeds, None)
