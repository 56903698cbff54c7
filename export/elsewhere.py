"""The export under another Keras backend: in a process that runs TensorFlow.

A backend is chosen once, when Keras is imported, and conversion needs
TensorFlow's. So the model is saved, and the command exports the file.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_inception_export import errors
from keras_inception_export.prepare import functional, load_model
from keras_inception_export.request import ExportRequest
from keras_inception_export.samples import load_samples
from keras_inception_export.twin import InferenceTwin

# Options of the command that are not called like the request's attribute.
OPTIONS = {"output_dir": "output", "formats": "format"}


def export_in_tensorflow(model_or_path, request: ExportRequest):
    """Do what `export_model` does, in a child process; return its report."""
    if not isinstance(model_or_path, (str, Path, keras.Model)):
        model_or_path = model_or_path()
    with tempfile.TemporaryDirectory() as folder:
        path = model_or_path
        words = [*_words(request), *_samples(model_or_path, request, folder)]
        if isinstance(model_or_path, keras.Model):
            path = Path(folder) / f"{model_or_path.name}.keras"
            model_or_path.save(path)
            words += _imports(model_or_path)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "keras_inception_export"),
                *("export", str(path), "--json", *words),
            ],
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


def _words(request):
    """Return the options of the command that say what the request says."""
    words = []
    for attribute in fields(request):
        value = getattr(request, attribute.name)
        if attribute.name == "samples" or value is None or value is False:
            continue
        if value == ():
            continue
        option = OPTIONS.get(attribute.name, attribute.name)
        words.append("--" + option.replace("_", "-"))
        if isinstance(value, tuple):
            words += value
        elif value is not True:
            words.append(str(value))
    return words


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


def _samples(model_or_path, request, folder):
    """Return the option that gives the samples, put into a file."""
    if request.samples is None:
        return []
    if isinstance(request.samples, (str, Path)):
        return ["--samples", str(request.samples)]
    model = model_or_path
    if isinstance(model, (str, Path)):
        model = load_model(model)
    specs = InferenceTwin.of(functional(model)).inputs
    samples = load_samples(request.samples, specs)
    arrays: dict[str, Any] = dict(samples.inputs)
    if samples.labels is not None:
        arrays["y"] = samples.labels
    path = Path(folder) / "samples.npz"
    np.savez(path, **arrays)
    return ["--samples", str(path)]
