"""The child process that turns a calibrated model into integers.

    python tflite_integers.py

It reads a JSON object a line. For each it converts `model` and writes
`output`, with the operators in `float_tensors` (the names of what they
compute) left in float, and with inputs and outputs of the type `io`. It
answers each line with a JSON object: what went wrong under `error`, or
nothing. It stays until its input ends, so that TensorFlow is loaded once for
many models.

`mlir_quantize` is private to TensorFlow. It is what `TFLiteConverter` itself
and `tf.lite.experimental.QuantizationDebugger` call with a calibrated model:
one in float in which each tensor's `quantization` holds `min` and `max`. The
public converter calibrates anew for each model, and the debugger knows neither
integer inputs nor how to leave its own operators out.
"""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    """Answer each line of the standard input."""
    # Whatever else prints does not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    for line in sys.stdin:
        request = json.loads(line)
        io = tf.dtypes.as_dtype(request["io"])
        answer = {}
        try:
            model = mlir_quantize(
                Path(request["model"]).read_bytes(),
                input_data_type=io,
                output_data_type=io,
                denylisted_nodes=request["float_tensors"],
            )
            Path(request["output"]).write_bytes(model)
        except Exception as error:
            answer["error"] = str(error)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
