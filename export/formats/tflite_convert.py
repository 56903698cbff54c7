"""The child process that runs TensorFlow's TFLite converter.

    python tflite_convert.py SAVED_MODEL OUTPUT float32|float16|dynamic

It writes OUTPUT and exits with 0. When the converter refuses the model it
exits with REFUSED, and the last line of its standard output is a JSON object:
`message`, and in `places` a pair (operator, name scope) for each error.
It imports nothing of this package, so it can be run by its path.
"""

import json
import sys
from pathlib import Path

# Not 1, with which Python ends after any other exception.
REFUSED = 3


def convert(saved_model: str, output: str, scheme: str) -> int:
    """Convert with builtin operators only; return the exit status."""
    import tensorflow as tf

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
        print(json.dumps(describe(error)))
        return REFUSED
    Path(output).write_bytes(model)
    return 0


def describe(error: Exception) -> dict:
    """Return the message of a failed conversion and where it arose."""
    # `errors` is what TensorFlow's ConverterError collects: protobuf messages
    # with the operator and its call stack, the innermost scope first.
    details = getattr(error, "errors", [])
    messages = [detail.error_message for detail in details] or [str(error)]
    places = [
        (detail.operator.name, detail.location.call[0].name)
        for detail in details
        if detail.location.call
    ]
    return {"message": messages[-1], "places": sorted(set(places))}


if __name__ == "__main__":
    sys.exit(convert(*sys.argv[1:]))
