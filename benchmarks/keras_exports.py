"""Keras's own exports of a model: written, and opened to be measured.

`latency.py` measures them beside ours. Models of one input only.
"""

from pathlib import Path

import numpy as np

from keras_inception_export.benchmarking import worker
from keras_inception_export.errors import reason_of

EXPORTS = {
    "saved_model": ("tf_saved_model", "keras"),
    "tflite": ("litert", "keras.tflite"),
    "onnx": ("onnx", "keras.onnx"),
}
"""For each of our formats, what Keras calls it and the file that it writes."""


def write(model, folder: Path) -> dict[str, Path]:
    """Write Keras's exports of a model; print which could not be written.

    Keras's ONNX export needs fifty times the memory of the weights.

    Returns:
        The path of each export by format.
    """
    # Keras exports to ONNX only what was called.
    model([np.zeros([n or 1 for n in x.shape], x.dtype) for x in model.inputs])
    paths = {}
    for name, (kind, file) in EXPORTS.items():
        try:
            model.export(str(folder / file), format=kind, verbose=False)
            paths[name] = folder / file
        except Exception as error:
            print(f"Keras does not write {name}: {reason_of(error)}")
    return paths


class Worker(worker.Worker):
    """Opens one of Keras's exports, then runs it in turns."""

    def open_artifact(self, path, format_name, feeds, threads):
        """Return a function that runs one of Keras's exports."""
        (array,) = feeds.values()
        return _OPENERS[format_name](path, array, threads)


def _open_saved_model(path, array, threads):
    import tensorflow as tf  # which reads the threads from the environment

    module = tf.saved_model.load(path)
    return lambda: module.serve(tf.constant(array)).numpy()


def _open_tflite(path, array, threads):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)
    input_index = interpreter.get_input_details()[0]["index"]
    outputs = [x["index"] for x in interpreter.get_output_details()]
    interpreter.resize_tensor_input(input_index, array.shape)
    interpreter.allocate_tensors()

    def run():
        interpreter.set_tensor(input_index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return run


def _open_onnx(path, array, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options)
    feeds = {session.get_inputs()[0].name: array}
    return lambda: session.run(None, feeds)


_OPENERS = {
    "saved_model": _open_saved_model,
    "tflite": _open_tflite,
    "onnx": _open_onnx,
}
