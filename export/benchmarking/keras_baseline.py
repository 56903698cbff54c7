"""Keras beside the artifacts: the model itself, and Keras's own exports."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.errors import (
    RequestError,
    RuntimeMissingError,
    reason_of,
)
from keras_inception_export.verification.parity import max_error
from keras_inception_export.verification.probes import Probes

EXPORTS = {
    "saved_model": ("tf_saved_model", "keras"),
    "tflite": ("litert", "keras.tflite"),
    "onnx": ("onnx", "keras.onnx"),
}
"""For each format: what Keras calls it, and the file that it writes."""
SAME = 0.05
"""Largest relative error of a model, of any precision, that is the same."""


def open_model(
    path: str,
    modules: Sequence[str],
    feeds: Mapping[str, np.ndarray],
    probes: Probes,
) -> Callable[[], object]:
    """Return a function that runs a `.keras` file's model on `feeds`.

    Args:
        path: the file.
        modules: what to import for its custom layers.
        feeds: an array an input name.
        probes: what the model must compute.

    Raises:
        RuntimeMissingError: if Keras or its backend is not installed.
        RequestError: if it cannot be loaded, or is another model.
    """
    try:
        from keras_inception_export.model import loading as prepare
        from keras_inception_export.model.inference_model import InferenceModel
    except ImportError as error:
        raise RuntimeMissingError(
            f"{path} needs Keras and its backend: {error}"
        ) from error
    prepare.import_modules(modules)
    inference_model = InferenceModel.of(
        prepare.functional(prepare.load_model(path))
    )
    _check_same(path, inference_model, probes)
    return _predict(inference_model, feeds)


def write_exports(
    path: str, modules: Sequence[str], folder: str, formats: Sequence[str]
) -> dict[str, str | None]:
    """Write Keras's own exports of a `.keras` file's model.

    Args:
        path: the file.
        modules: what to import for its custom layers.
        folder: where the exports go.
        formats: names of `EXPORTS`.

    Returns:
        For each format why it could not be written, or `None`.
    """
    from keras_inception_export.model import loading as prepare

    prepare.import_modules(modules)
    model = prepare.functional(prepare.load_model(path))
    # Keras exports to ONNX only what was called.
    model([np.zeros([n or 1 for n in x.shape], x.dtype) for x in model.inputs])
    outcome: dict[str, str | None] = {}
    for name in formats:
        kind, file = EXPORTS[name]
        try:
            model.export(str(Path(folder, file)), format=kind, verbose=False)
            outcome[name] = None
        except Exception as error:
            outcome[name] = f"not written by Keras: {reason_of(error)}"
    return outcome


def open_export(
    name: str, path: str, feeds: Mapping[str, np.ndarray], threads: int
) -> Callable[[], object]:
    """Return a function that runs one of Keras's own exports.

    Args:
        name: one of `EXPORTS`.
        path: what Keras wrote.
        feeds: the array of the one input.
        threads: threads to compute with.
    """
    (array,) = feeds.values()
    openers: dict[str, Callable] = {
        "saved_model": _open_saved_model,
        "tflite": _open_tflite,
        "onnx": _open_onnx,
    }
    return openers[name](path, array, threads)


def _open_saved_model(path, array, threads):
    import tensorflow as tf  # which takes its threads from the environment

    module = tf.saved_model.load(path)
    return lambda: module.serve(tf.constant(array)).numpy()


def _open_tflite(path, array, threads):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)
    entry = interpreter.get_input_details()[0]["index"]
    exits = [entry["index"] for entry in interpreter.get_output_details()]
    interpreter.resize_tensor_input(entry, array.shape)
    interpreter.allocate_tensors()

    def run():
        interpreter.set_tensor(entry, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in exits]

    return run


def _open_onnx(path, array, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options)
    feeds = {session.get_inputs()[0].name: array}
    return lambda: session.run(None, feeds)


def _predict(inference_model, feeds):
    """Return a function that runs the model as `predict_on_batch` does."""
    import keras

    flat: list[Any] = [None] * len(inference_model.inputs)
    for place, spec in zip(
        inference_model.input_order, inference_model.inputs, strict=True
    ):
        flat[place] = feeds[spec.name]
    packed = keras.tree.pack_sequence_as(inference_model.model.input, flat)
    return lambda: inference_model.model.predict_on_batch(packed)


def _check_same(path, inference_model, probes):
    """Raise RequestError if a model is not the one that was exported."""
    import keras

    inputs = [spec.name for spec in inference_model.inputs]
    names = [spec.name for spec in inference_model.outputs]
    try:
        found = [
            dict(
                zip(
                    names,
                    inference_model.call(*map(feed.get, inputs)),
                    strict=True,
                )
            )
            for feed in probes.feeds
        ]
        largest = max(
            max_error(
                [keras.ops.convert_to_numpy(batch[name]) for batch in found],
                [batch[name] for batch in probes.reference],
            )
            for name in probes.reference[0]
        )
    except Exception as error:
        raise RequestError(
            f"{path} is another model than the bundle's and cannot stand in "
            f"for it: {reason_of(error)}"
        ) from error
    if not largest <= SAME:
        raise RequestError(
            f"{path} is another model than the bundle's: on its probes the "
            f"outputs differ by {largest:.2g} of the largest"
        )
