"""Write SavedModel artifacts, in which each weight is stored once.

`save_function` is also the first step of other formats, which convert from a
SavedModel.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf.fingerprint_pb2 import FingerprintDef

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.rewriting import Rewrite, rewritten
from keras_inception_export.formats.saved_model import runtime
from keras_inception_export.formats.saved_model.conversions import CONVERSIONS
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.size_dependent import any_size

PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")
"""Operations that call a Python function by its number in the process."""


def write(inference_model: InferenceModel, path: Path, *, opset: int) -> None:
    """Write the inference model as a SavedModel folder; `opset` is unused."""
    names = {
        "inputs": [spec.name for spec in inference_model.inputs],
        "outputs": [spec.name for spec in inference_model.outputs],
    }

    def serve(**feeds: Any) -> dict[str, Any]:
        outputs = inference_model.call(*map(feeds.get, names["inputs"]))
        return dict(zip(names["outputs"], outputs, strict=True))

    save_function(
        serve, inference_model.inputs, path, inference_model.model, CONVERSIONS
    )
    with contextlib.suppress(OSError):  # unless it has files
        (path / "assets").rmdir()
    order_file = path / runtime.ORDER_FILE
    order_file.parent.mkdir()
    order_file.write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")


def save_function(
    function: Callable[..., Mapping[str, Any]],
    inputs: Sequence[TensorSpec],
    path: Path,
    model: keras.Model,
    rewrites: Mapping[str, Rewrite],
) -> None:
    """Trace a function of keyword tensors and save it as `serving_default`.

    The `tf.Module` that is saved contains only the variables that the trace
    captured: a Keras layer in it would write its weights a second time.
    `model` is the Keras model that the function calls; `rewrites` replace
    operations of TensorFlow.
    """
    specs = {
        spec.name: tf.TensorSpec(spec.shape, spec.dtype, spec.name)
        for spec in inputs
    }
    traced = tf.function(function, autograph=False)
    with any_size(model), rewritten(rewrites):
        concrete = traced.get_concrete_function(**specs)
    _refuse_python(concrete.graph.as_graph_def())
    module = tf.Module()
    # In the order of the trace: TensorFlow lists variables by their address.
    captured = {
        id(tensor): i for i, (tensor, _) in enumerate(concrete.graph.captures)
    }
    module.weights = sorted(
        concrete.variables, key=lambda variable: captured[id(variable.handle)]
    )
    module.tables = [
        table
        for table in _lookup_tables(model)
        if id(table.resource_handle) in captured
    ]
    signatures = {runtime.SIGNATURE: concrete}
    tf.saved_model.save(module, str(path), signatures=signatures)
    _make_reproducible(path / "fingerprint.pb")


def _refuse_python(graph: Any) -> None:
    """Raise ConversionError for code that no other process has."""
    functions = (function.node_def for function in graph.library.function)
    for node in itertools.chain(graph.node, *functions):
        if node.op in PYTHON:
            raise ConversionError(
                f'the operation "{node.name}" runs Python code of this '
                "process, which no artifact contains; replace "
                "`tf.py_function` and `tf.numpy_function` by TensorFlow's or "
                "Keras's operations"
            )


def _make_reproducible(path: Path) -> None:
    """Replace the random identifier of a saved model by its checksum."""
    fingerprint = FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = str(fingerprint.saved_model_checksum)
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))


def _lookup_tables(model: keras.Model) -> list:
    """Return the hash tables of preprocessing layers, which Keras never lists.

    `tf.saved_model.save` refuses a function that uses a table unless the saved
    object contains the table. One that it does not use would be saved too.
    """
    return [
        value
        for layer in model._flatten_layers()
        for value in vars(layer).values()
        if isinstance(value, tf.saved_model.experimental.TrackableResource)
    ]
