"""Run TensorFlow's TFLite converter; the target of a child process."""

from pathlib import Path
from typing import Any

import tensorflow as tf


def convert(
    saved_model: str, output: str, scheme: str
) -> dict[str, Any] | None:
    """Convert a SavedModel with builtin operators only.

    Args:
        saved_model: the folder to convert.
        output: the `.tflite` file to write.
        scheme: how weights are stored: "float32", "float16" or "dynamic".

    Returns:
        `None` if `output` was written. If the converter refuses the model: its
        `message`, and in `locations` one pair (operator, name scope) per
        error.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    # The metadata (TensorFlow's version, the options) would be added by
    # unpacking and repacking the whole model in Python.
    converter.exclude_conversion_metadata = True
    if scheme != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if scheme == "float16":
        converter.target_spec.supported_types = [tf.float16]
    try:
        model = converter.convert()
    except Exception as error:
        return _describe(error)
    Path(output).write_bytes(model)
    return None


def _describe(error: Exception) -> dict[str, Any]:
    """Return the message of a failed conversion and where it failed."""
    # `errors` is what TensorFlow's ConverterError collects: protobuf messages
    # with the operator and its call stack, the innermost scope first.
    details = getattr(error, "errors", [])
    messages = [detail.error_message for detail in details] or [str(error)]
    locations = [
        (detail.operator.name, detail.location.call[0].name)
        for detail in details
        if detail.location.call
    ]
    return {"message": messages[-1], "locations": sorted(set(locations))}
