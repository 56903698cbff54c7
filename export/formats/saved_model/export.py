"""SavedModel: TensorFlow's own format, each weight written once."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ConversionError, reason_of
from keras_inception_export.formats.saved_model.runtime import (
    ORDER_FILE,
    SIGNATURE,
)

if TYPE_CHECKING:
    from keras_inception_export.model.inference_model import InferenceModel


def write(inference_model: "InferenceModel", path: Path, *, opset: int) -> None:
    """Write the inference model as a SavedModel folder.

    Args:
        inference_model: the model; traced with `training=False`.
        path: the folder to create.
        opset: not used; it is ONNX's.
    """

    def serve(**feeds: Any) -> dict[str, Any]:
        outputs = inference_model.call(
            *(feeds[spec.name] for spec in inference_model.inputs)
        )
        names = (spec.name for spec in inference_model.outputs)
        return dict(zip(names, outputs, strict=True))

    save_function(serve, inference_model.inputs, path, inference_model.model)
    order = {
        "inputs": [spec.name for spec in inference_model.inputs],
        "outputs": [spec.name for spec in inference_model.outputs],
    }
    order_file = path / ORDER_FILE
    order_file.parent.mkdir()
    order_file.write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")


def save_function(
    function: Callable[..., Mapping[str, Any]],
    inputs: tuple[TensorSpec, ...],
    path: Path,
    model: Any,
) -> None:
    """Trace a function of keyword tensors and save it as `serving_default`.

    The `tf.Module` that is saved holds the variables the trace captured, and
    nothing else: a Keras layer in it would write its weights a second time.

    Args:
        function: takes tensors by the names in `inputs`, returns them by name.
        inputs: what to trace it with.
        path: the folder to create.
        model: the Keras model that the function calls.

    Raises:
        ConversionError: TensorFlow cannot trace the model.
    """
    import tensorflow as tf

    specs = {
        spec.name: tf.TensorSpec(spec.shape, spec.dtype, spec.name)
        for spec in inputs
    }
    traced = tf.function(function, autograph=False)
    try:
        concrete = traced.get_concrete_function(**specs)
    except Exception as error:
        raise ConversionError(
            f"TensorFlow cannot trace the model: {reason_of(error)}"
        ) from error
    module = tf.Module()
    module.weights = list(concrete.variables)
    module.tables = _lookup_tables(model)
    tf.saved_model.save(module, str(path), signatures={SIGNATURE: concrete})


def _lookup_tables(model: Any) -> list:
    """Find the hash tables of preprocessing layers; no list in Keras has them.

    A table is a resource that `tf.saved_model.save` refuses unless the saved
    object holds it.
    """
    import tensorflow as tf

    return [
        value
        for layer in model._flatten_layers()
        for value in vars(layer).values()
        if isinstance(value, tf.saved_model.experimental.TrackableResource)
    ]
