"""Write TFLite artifacts, which use builtin operators only.

TensorFlow's converter runs in a child process. It reads a SavedModel and
returns a file whose tensors are then given their Keras names.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_inception_export.child_process import run_in_child
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.saved_model.export import save_function
from keras_inception_export.formats.tflite import CONVERTER
from keras_inception_export.formats.tflite.conversions import CONVERSIONS
from keras_inception_export.formats.tflite.flatbuffer import Structure
from keras_inception_export.formats.tflite.large_weights import (
    LargeWeight,
    large_weights,
)
from keras_inception_export.formats.tflite.naming import (
    keras_name,
    layers_of,
    name_kernels,
)
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.name_scopes import nested_name, recorded
from keras_inception_export.model.precision import check_no_float8

TRIAL = f"{__package__}.trial_worker"

_DTYPES = {"bf16": "bfloat16", "f16": "float16", "f64": "float64"}
"""Floats of which TFLite has few kernels, by their names in MLIR."""

_MAX_TRIAL_SIZE = 2**26
"""Larger files are not tried: to load one takes a second for 0.5 GB."""


def write(
    inference_model: InferenceModel,
    path: Path,
    *,
    opset: int,
    scheme: str = "float32",
) -> None:
    """Write the inference model as a `.tflite` file.

    The converter's time and memory grow with the constants in its graph (23 s
    and 3.5 GB were measured for 0.53 GB). So the large weights are inputs of
    the graph that it converts, and become constants in the file.

    Args:
        opset: not used; it is an option of ONNX.
        scheme: how weights are stored: "float32", "float16" or "dynamic". All
            but "float32" pass through the converter. Defaults to "float32".

    Raises:
        ConversionError: an operation has no builtin TFLite operator.
    """
    check_no_float8(inference_model.model, "TFLite")
    reduced = scheme != "float32"
    weights = [] if reduced else large_weights(inference_model.model)
    while True:
        structure = _convert(inference_model, weights, path.parent, scheme)
        named = [(f"weight_{i}", w) for i, w in enumerate(weights)]
        weights = [w for name, w in named if structure.is_weight(name)]
        if len(weights) == len(named):
            break
    inputs, outputs = inference_model.inputs, inference_model.outputs
    structure.write(
        path,
        [(f"input_{i}", spec.name) for i, spec in enumerate(inputs)],
        [(f"output_{i}", spec.name) for i, spec in enumerate(outputs)],
        named,
    )
    if path.stat().st_size <= _MAX_TRIAL_SIZE:
        _try(path, structure, inference_model)


def _try(
    path: Path, structure: Structure, inference_model: InferenceModel
) -> None:
    """Run a file in a child process; remove it if LiteRT has not the kernels.

    The shapes that a kernel refuses depend on the inputs if a size is unknown.
    """
    try:
        refusal = run_in_child(TRIAL, "run_once", path=path)
        unknown = any(None in x.shape[1:] for x in inference_model.inputs)
        if not refusal or unknown:
            return
        model = inference_model.model
        layers = {x.path for x in model._flatten_layers(include_self=False)}
        operator = list(structure.operators())[refusal["node"]]
        names = layers_of(structure.name_of(operator.outputs[0]), layers)
        reason = (
            f"LiteRT has no kernel for this {operator.name} "
            f"({_place(next(names, None))}): {refusal['reason']}"
        )
    except RuntimeError as error:
        reason = f"LiteRT cannot run the converted model: {error}"
    path.unlink()
    raise ConversionError(
        f"{reason}; change the model, or leave the format tflite out"
    )


def _convert(
    inference_model: InferenceModel,
    weights: Sequence[LargeWeight],
    folder: Path,
    scheme: str,
) -> Structure:
    """Convert in a child process, and give tensors and kernels Keras names.

    The graph has an input `weight_0`, `weight_1`, ... for each of `weights`.
    """
    specs = inference_model.inputs

    def serve(**feeds: Any) -> dict[str, Any]:
        mapping = [
            (w.variable, tf.transpose(feeds[f"weight_{i}"], np.argsort(w.axes)))
            for i, w in enumerate(weights)
        ]
        tensors = [feeds[f"input_{i}"] for i in range(len(specs))]
        with keras.StatelessScope(state_mapping=mapping):
            outputs = inference_model.call(*tensors)
        return {f"output_{i}": tensor for i, tensor in enumerate(outputs)}

    inputs = [
        *(replace(s, name=f"input_{i}") for i, s in enumerate(specs)),
        *(
            TensorSpec(f"weight_{i}", weight.shape, weight.variable.dtype)
            for i, weight in enumerate(weights)
        ),
    ]
    scopes: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix=".tflite-", dir=folder) as workdir:
        saved_model = Path(workdir, "saved_model")
        converted = Path(workdir, "converted.tflite")
        model = inference_model.model
        with recorded(model, scopes):
            save_function(serve, inputs, saved_model, model, CONVERSIONS)
        refusal = run_in_child(
            CONVERTER,
            "convert",
            saved_model=saved_model,
            output=converted,
            scheme=scheme,
        )
        if refusal:
            raise ConversionError(_explain(refusal, scopes))
        structure = Structure(converted.read_bytes())
    structure.rename(lambda name: keras_name(name, scopes))
    name_kernels(structure, inference_model.model)
    return structure


def _place(layer: str | None) -> str:
    return f"layer '{layer}'" if layer else "outside the layers"


def _explain(refusal: Mapping[str, Any], scopes: Mapping[str, str]) -> str:
    """Return one line: why the converter refused, and in which layers."""
    reason = refusal["message"].partition("\n")[0]
    if not refusal["locations"]:
        return f"the TFLite converter refuses the model: {reason}"
    refused = set()
    for operator, scope in refusal["locations"]:
        # TensorFlow appends `@` and the name of the function.
        where = _place(nested_name(scope.partition("@")[0], scopes))
        operator = operator.removeprefix("tf.")
        dtype = _dtype_of(operator, refusal["message"])
        refused.add(f"{operator}{dtype} ({where})")
    remedy = "change the model, or leave the format tflite out"
    if "TensorList" in reason:
        remedy = (
            "loops, as in recurrent layers, need a fixed batch size "
            "(--batch-size)"
        )
    return (
        "TFLite's builtin operators cannot express "
        f"{', '.join(sorted(refused))}: {remedy}"
    )


def _dtype_of(operator: str, message: str) -> str:
    """Return " of float64" if that is what the converter refuses, or ""."""
    kinds = "|".join(_DTYPES)
    kind = rf'"tf\.{operator}"\(.*: \(tensor<(?:[?\d*]*x)*({kinds})>'
    found = re.search(kind, message)
    return f" of {_DTYPES[found.group(1)]}" if found else ""
