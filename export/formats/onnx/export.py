"""Write ONNX artifacts from the inference model."""

from pathlib import Path

from keras_inception_export.formats.onnx.graph import Graph
from keras_inception_export.formats.onnx.kernels import (
    check_runnable,
    widen_integers,
)
from keras_inception_export.formats.onnx.passes.naming import assign_names
from keras_inception_export.formats.onnx.passes.simplify import simplify
from keras_inception_export.formats.onnx.serialize import write_file
from keras_inception_export.formats.onnx.tracing import convert, typed
from keras_inception_export.model.inference_model import InferenceModel


def write(
    inference_model: InferenceModel, path: Path, *, opset: int = 18
) -> None:
    """Write the inference model as an ONNX file.

    Weights that exceed the size limit of a protobuf file are written beside
    it, in a file named `path` with `.data` appended.

    Raises:
        ConversionError: ONNX cannot express the model.
    """
    write_file(float_graph(inference_model, opset), path)


def float_graph(inference_model: InferenceModel, opset: int = 18) -> Graph:
    """Return a copy of the graph that `write` writes, converted only once."""

    def build() -> Graph:
        graph = convert(inference_model, opset)
        simplify(graph)
        graph.outputs = typed("out", inference_model.outputs)
        widen_integers(graph)
        inputs = [spec.name for spec in inference_model.inputs]
        outputs = [spec.name for spec in inference_model.outputs]
        assign_names(graph, inputs, outputs)
        check_runnable(graph)
        return graph

    return inference_model.converted(("onnx", opset), build).copy()
