"""Exports by this project and by Keras, run by the bare runtimes."""

import re
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

import keras_inception_export

FORMATS = {
    "onnx": ("model.onnx", "onnx"),
    "tflite": ("model.tflite", "litert"),
    "saved_model": ("saved_model", "tf_saved_model"),
}
"""For each format the file that we write, and Keras's name of the format."""

Run = Callable[[dict], dict[str, np.ndarray] | list[np.ndarray]]


def export_ours(model: keras.Model, folder: Path, format_name: str):
    """Export a model; return the artifact and the names of its outputs."""
    report = keras_inception_export.export_model(
        model, folder / "bundle", formats=[format_name], overwrite=True
    )
    names = [x["name"] for x in report["artifacts"][0]["outputs"]]
    return folder / "bundle" / FORMATS[format_name][0], names


def export_keras(model: keras.Model, folder: Path, format_name: str):
    """Export a model as Keras does; the order of the outputs is its own."""
    path = folder / f"keras_{FORMATS[format_name][0]}"
    model.export(path, format=FORMATS[format_name][1], verbose=False)
    return path, None


EXPORTERS = {"ours": export_ours, "keras": export_keras}


def open_onnx(path: Path) -> Run:
    """Open an ONNX file with ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    names = [x.name for x in session.get_outputs()]
    taken = [x.name for x in session.get_inputs()]

    def run(feeds):
        values = session.run(names, _named(feeds, taken))
        return dict(zip(names, values, strict=True))

    return run


def open_tflite(path: Path) -> Run:
    """Open a TFLite file with LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path), num_threads=1).get_signature_runner()

    def run(feeds):
        outputs = runner(**_named(feeds, runner.get_input_details()))
        return {name: outputs[name] for name in sorted(outputs, key=_natural)}

    return run


def open_saved_model(path: Path) -> Run:
    """Open a SavedModel with TensorFlow."""
    import tensorflow as tf

    module = tf.saved_model.load(path)
    function = module.signatures["serving_default"]
    (_, taken) = function.structured_input_signature

    def run(feeds, module=module):  # which holds the variables
        feeds = {k: tf.constant(v) for k, v in _named(feeds, taken).items()}
        outputs = function(**feeds)
        return {k: outputs[k].numpy() for k in sorted(outputs, key=_natural)}

    return run


OPENERS = {
    "onnx": open_onnx,
    "tflite": open_tflite,
    "saved_model": open_saved_model,
}


def in_order(outputs: dict, names: list[str] | None, keys) -> list:
    """Return the outputs of an artifact in the flat order of the model's.

    Args:
        outputs: the artifact's outputs by name.
        names: the names of the outputs in the declared order, if known.
        keys: the keys of the model's outputs, if they are a dictionary.
    """
    if keys is not None and set(keys) == set(outputs):
        return [outputs[key] for key in sorted(keys)]
    return [outputs[name] for name in names or outputs]


def _named(feeds: dict, taken) -> dict:
    """Return the feeds by the names that an artifact gives to its inputs.

    What no output depends on may be missing. Automatic names of Keras differ;
    then the order counts.
    """
    if set(taken) <= set(feeds):
        return {name: feeds[name] for name in taken}
    order = sorted(taken, key=_natural)
    return dict(zip(order, feeds.values(), strict=True))


def _natural(name):
    return [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", name)]
