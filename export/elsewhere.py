"""The export under another Keras backend: in a process that runs TensorFlow.

A backend is chosen once, when Keras is imported, and conversion needs
TensorFlow's. So the model is saved, and the command exports the file.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_inception_export import errors


def export_in_tensorflow(
    model_or_path,
    output,
    *,
    formats,
    samples,
    pixel_scale,
    batch_size,
    opset,
    overwrite,
):
    """Do what `export_model` does, in a child process; return its report."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["export"]
        if isinstance(model_or_path, (str, Path)):
            words.append(str(model_or_path))
        else:
            if not isinstance(model_or_path, keras.Model):
                model_or_path = model_or_path()
            path = Path(folder) / f"{model_or_path.name}.keras"
            model_or_path.save(path)
            words += [str(path), *_imports(model_or_path)]
        words += ["--output", str(output), "--opset", str(opset), "--json"]
        words += ["--format", *formats]
        if batch_size is not None:
            words += ["--batch-size", str(batch_size)]
        if overwrite:
            words.append("--overwrite")
        words += ["--pixel-scale", str(pixel_scale)]
        if samples is not None:
            words += ["--samples", _samples_path(samples, Path(folder))]
        done = subprocess.run(
            [sys.executable, "-m", "keras_inception_export", *words],
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
        )
    if done.returncode == 0:
        return json.loads(done.stdout)
    message = done.stderr.strip().removeprefix("keras-inception: ")
    if done.returncode == errors.ArtifactError.exit_code:
        raise errors.ArtifactError(message)
    raise errors.RequestError(message)


def _imports(model):
    """Name the modules that define the model's custom layers."""
    modules = {type(layer).__module__ for layer in model._flatten_layers()}
    known = ("keras", "keras_inception_layers", "__main__")
    return [
        word
        for module in sorted(modules)
        if module.split(".")[0] not in known
        for word in ("--import", module)
    ]


def _samples_path(samples, folder):
    if isinstance(samples, (str, Path)):
        return str(samples)
    path = folder / "samples.npz"
    arrays: dict[str, Any] = {"x": samples}
    if isinstance(samples, Mapping):
        arrays = {name: np.asarray(array) for name, array in samples.items()}
    np.savez(path, **arrays)
    return str(path)
