"""Convert a calibrated float model to int8; run in a child process.

`mlir_quantize` is private to TensorFlow. `TFLiteConverter` itself and
`tf.lite.experimental.QuantizationDebugger` call it with a calibrated model: a
float model in which the `quantization` of each tensor has `min` and `max`. The
public converter calibrates anew for each model, and the debugger supports
neither integer inputs nor leaving its own operators out.
"""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow.lite.python.convert import mlir_quantize

from keras_inception_export.errors import ConversionError


def quantize(
    model: str, output: str, float_tensors: Sequence[str], io: str
) -> None:
    """Convert a calibrated model.

    Args:
        model: the calibrated `.tflite` file.
        output: the `.tflite` file to write.
        float_tensors: the names of the tensors whose operators stay in float.
        io: dtype of the inputs and outputs.

    Raises:
        ConversionError: the converter refuses the model.
    """
    dtype = tf.dtypes.as_dtype(io)
    try:
        converted = mlir_quantize(
            Path(model).read_bytes(),
            input_data_type=dtype,
            output_data_type=dtype,
            denylisted_nodes=list(float_tensors),
        )
    except Exception as error:
        raise ConversionError(
            f"the TFLite converter refuses the model in int8: {error}"
        ) from error
    Path(output).write_bytes(converted)
