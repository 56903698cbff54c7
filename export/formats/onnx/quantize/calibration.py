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
from keras_inception_export.formats.onnx.graph import Graph, attribute_of
from keras_inception_export.formats.onnx.quantize.placement import (
    ACTIVATIONS,
    limits,
)
from keras_inception_export.formats.onnx.serialize import write_file
from keras_inception_export.formats.quantizer import with_headroom

BOUNDED = {"Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
"""Functions whose range is known by definition; it is not measured. Beyond the
measured range of its state, an LSTM on new series lost 20 dB."""
_KEPT = frozenset("Flatten Reshape Slice Squeeze Transpose Unsqueeze".split())
"""Operators that return some of the values they read."""

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
    bounds: Ranges = {}
    for node in graph.nodes:
        if node.op_type in BOUNDED:
            bounds[node.output[0]] = BOUNDED[node.op_type]
        elif node.op_type == "LSTM":
            # The third function of a direction computes the state that is read.
            functions = attribute_of(node, "activations", [b"Tanh"] * 3)[2::3]
            if all(name == b"Tanh" for name in functions):
                states = filter(None, node.output[:2])
                bounds |= dict.fromkeys(states, BOUNDED["Tanh"])
        elif node.op_type in _KEPT and node.input[0] in bounds:
            bounds[node.output[0]] = bounds[node.input[0]]
    producers = graph.producers()
    for output in {value.name for value in graph.outputs} & ranges.keys():
        low, high = with_headroom(*ranges[output])
        last = producers.get(output)
        if last is not None and last.op_type in ACTIVATIONS:
            least, most = limits(graph, last)
            low, high = max(low, least), min(high, most)
        ranges[output] = low, high
    return ranges | {x: bounds[x] for x in bounds.keys() & ranges.keys()}
