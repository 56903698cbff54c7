"""The converter that turns a calibrated model into integers, for a child.

`mlir_quantize` is private to TensorFlow. It is what `TFLiteConverter` itself
and `tf.lite.experimental.QuantizationDebugger` call with a calibrated model:
one in float in which each tensor's `quantization` holds `min` and `max`. The
public converter calibrates anew for each model, and the debugger supports
neither integer inputs nor leaving its own operators out.
"""

from collections.abc import Sequence
from pathlib import Path

from keras_inception_export.errors import ConversionError


def quantize(
    model: str, output: str, float_tensors: Sequence[str], io: str
) -> None:
    """Convert a calibrated model.

    Args:
        model: the calibrated `.tflite` file.
        output: the `.tflite` file to write.
        float_tensors: the operators that stay in float, by the names of the
            tensors that they compute.
        io: dtype of the inputs and outputs.

    Raises:
        ConversionError: the converter refuses the model.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

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
