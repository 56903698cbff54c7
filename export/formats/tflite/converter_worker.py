"""Run TensorFlow's TFLite converter; the target of a child process."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_inception_export.errors import ConversionError, exhausted


def convert(
    saved_model: str, output: str, scheme: str
) -> dict[str, Any] | None:
    """Convert a SavedModel with builtin operators only.

    Returns:
        `None` if `output` was written. If the converter refuses the model: its
        `message`, and in `locations` one pair (operator, name scope) per
        error.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    # The metadata (TensorFlow's version, the options) would be added by
    # unpacking and repacking the whole model in Python.
    converter.exclude_conversion_metadata = True
    # Infinite constants would become finite.
    converter.canonicalizing_inf_as_min_max_float = False
    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        model = converter.convert()
    except Exception as error:
        if exhausted(error):
            raise
        return _describe(error)
    Path(output).write_bytes(model)
    return None


def quantize(
    model: str,
    output: str,
    float_tensors: Sequence[str],
    input_dtype: str,
    output_dtype: str,
) -> None:
    """Convert a calibrated `.tflite` file to inputs and outputs of a dtype.

    The operators that compute `float_tensors` stay in float.

    `mlir_quantize` is private to TensorFlow. `TFLiteConverter` itself and
    `tf.lite.experimental.QuantizationDebugger` call it with a calibrated
    model: a float model in which the `quantization` of each tensor has `min`
    and `max`. The public converter calibrates anew for each model, and the
    debugger supports neither integer inputs nor leaving its own operators out.
    """
    from tensorflow.lite.python.convert import mlir_quantize

    try:
        converted = mlir_quantize(
            Path(model).read_bytes(),
            input_data_type=tf.dtypes.as_dtype(input_dtype),
            output_data_type=tf.dtypes.as_dtype(output_dtype),
            denylisted_nodes=list(float_tensors),
        )
    except Exception as error:
        raise ConversionError(
            f"the TFLite converter refuses the model in int8: {error}"
        ) from error
    Path(output).write_bytes(converted)


def _describe(error: Exception) -> dict[str, Any]:
    """Return the messages of a failed conversion and where it failed."""
    # `errors` is what TensorFlow's ConverterError collects: protobuf messages
    # with the operator and its call stack, the innermost scope first.
    details = getattr(error, "errors", [])
    messages = [detail.error_message for detail in details] or [str(error)]
    locations = [
        (detail.operator.name, detail.location.call[0].name)
        for detail in details
        if detail.location.call
    ]
    text = "\n".join(reversed(messages))
    return {"message": text, "locations": sorted(set(locations))}
