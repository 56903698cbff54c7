"""Let a model compute in another dtype than its own, without a copy.

The layers keep their weights: Keras casts each one when it is read.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

import keras
import numpy as np
from keras.src.backend import AutocastScope, get_keras_mask, set_keras_mask

from keras_inception_export.errors import ConversionError
from keras_inception_export.model.call_hooks import (
    observed,
    operations_in,
    replaced,
)
from keras_inception_layers.rebuilding import FLOATS


@contextmanager
def computing_in(
    model: keras.Model, dtype: str, float32_layers: dict[str, None]
) -> Iterator[None]:
    """Let a model compute in `dtype`, whatever its dtype policies say.

    In float64, a layer that fails is computed in float32: it adds constants
    of that dtype, or TensorFlow has no other kernel of it. What fails there
    too fails, and the exception's `layer` is the innermost layer that did.

    Args:
        model: the model; it computes in its own dtype after the block.
        dtype: "float32" or "float64".
        float32_layers: gets the path of each layer whose output has the
            precision of float32, though `dtype` is float64; also of those that
            round it by themselves.
    """

    def compute(layer, call, *args, **kwargs):
        if keras.config.floatx() != "float64":
            try:
                return call(*args, **kwargs)
            except Exception as error:
                if layer is not model:
                    _name_layer(error, layer)
                raise
        try:
            outputs = call(*args, **kwargs)
        except Exception:
            layers = [layer]
            if isinstance(layer, keras.Layer):
                layers = operations_in(layer)
            with _in_dtype(layers, "float32"):
                args, kwargs = _cast((args, kwargs), "float32")
                outputs = compute(layer, call, *args, **kwargs)
        if any(_is_float(x, "float32") for x in keras.tree.flatten(outputs)):
            float32_layers[describe(layer)] = None
            outputs = _cast(outputs, "float64")
        elif _rounds((args, kwargs), outputs):
            float32_layers[describe(layer)] = None
        return outputs

    operations = operations_in(model)
    with _in_dtype(operations, dtype), observed(operations, compute):
        yield


def _name_layer(error: Any, layer: Any) -> None:
    """Let an exception name the innermost layer that failed.

    Keras builds what a wrapper contains before the wrapper when it loads both:
    the name of the wrapper is added, which the path lacks.
    """
    path = f'"{getattr(layer, "path", None) or layer.name}'
    found = getattr(error, "layer", None)
    if found is None:
        error.layer = describe(layer)
    elif not found.startswith((f"{path}/", f'{path}"')):
        error.layer = f"{path}/{found[1:]}"
    # Else Keras replaces the exception by another, with a long text.
    error._keras_call_info_injected = True


def describe(layer: Any) -> str:
    """Return the path of a layer, quoted, and its class."""
    path = getattr(layer, "path", None) or layer.name
    return f'"{path}" ({type(layer).__name__})'


def check_no_float8(model: keras.Model, format_name: str) -> None:
    """Raise ConversionError for float8, which a format cannot express."""
    for layer in model._flatten_layers():
        if _is_float8(layer):
            raise ConversionError(
                f"the layer {describe(layer)} is quantized to float8, which "
                f"{format_name} cannot express; export a SavedModel alone, or "
                'the model as it was before `quantize("float8")`'
            )


def _is_float8(operation: Any) -> bool:
    policy = getattr(operation, "dtype_policy", None)
    return getattr(policy, "quantization_mode", None) == "float8"


@contextmanager
def _in_dtype(operations: Iterable[Any], dtype: str) -> Iterator[None]:
    """Set the dtype of layers, other operations, and the inputs of models."""
    floatx = keras.config.floatx()
    keras.config.set_floatx(dtype)  # of constants in layers
    settings = (x for y in operations for x in _settings(y, dtype))
    try:
        with replaced(settings), AutocastScope(dtype):
            yield
    finally:
        keras.config.set_floatx(floatx)


def _settings(operation: Any, dtype: str) -> Iterator[tuple[Any, str, Any]]:
    """Yield each object, attribute and value that makes `dtype` the dtype."""
    if not isinstance(operation, keras.Layer):
        if getattr(operation, "dtype", None) in FLOATS:
            yield operation, "dtype", dtype
        return
    if operation.compute_dtype in FLOATS:
        policy: Any = keras.DTypePolicy(dtype)
        if operation.dtype_policy.quantization_mode:  # it has no float64
            policy = copy(operation.dtype_policy)
            # What rounds bfloat16 to float8 gives other numbers for float32.
            if not _is_float8(operation):
                policy._compute_dtype = "float32"
        yield operation, "_dtype_policy", policy
        if isinstance(operation, keras.layers.Normalization):
            for name in ("mean", "variance"):  # in its own compute dtype
                if _is_float(value := getattr(operation, name, None)):
                    yield operation, name, keras.ops.cast(value, dtype)
    graph = vars(operation).get("_functional") or operation
    for tensor in getattr(graph, "_inputs", ()):  # of a Functional model
        if tensor.dtype in FLOATS:
            yield tensor, "_dtype", dtype


def _cast(structure: Any, dtype: str) -> Any:
    """Cast the floating-point tensors in a structure; masks are kept."""

    def cast(value):
        if not _is_float(value):
            return value
        mask = get_keras_mask(value)
        value = keras.ops.cast(value, dtype)
        if mask is not None:
            set_keras_mask(value, mask)
        return value

    return keras.tree.map_structure(cast, structure)


def _rounds(inputs: Any, outputs: Any) -> bool:
    """Return whether a layer has rounded float64 numbers to float32.

    Numbers of few digits are not meant, such as those of `round` or `relu6`.
    """
    return (
        not _fits(inputs, "float32")
        and _fits(outputs, "float32")
        and not _fits(outputs, "float16")
    )


def _fits(structure: Any, dtype: str) -> bool:
    """Return whether all float64 numbers in a structure are also of `dtype`."""
    arrays = [
        np.ravel(keras.ops.convert_to_numpy(value))
        for value in keras.tree.flatten(structure)
        if _is_float(value, "float64")
    ]
    with np.errstate(over="ignore"):
        return all(
            np.array_equal(part, part.astype(dtype), equal_nan=True)
            for array in arrays
            for part in (array[:64], array)  # most often, the first tell
        )


def _is_float(value: Any, *dtypes: str) -> bool:
    return keras.ops.is_tensor(value) and keras.backend.standardize_dtype(
        value.dtype
    ) in (dtypes or FLOATS)
