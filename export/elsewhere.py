"""The export under another Keras backend: in a process that runs TensorFlow.

A backend is chosen once, when Keras is imported, and conversion needs
TensorFlow's. So the model is saved, and `export_worker` exports the file.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_inception_export.answering import answered
from keras_inception_export.formats.children import last_words
from keras_inception_export.prepare import functional, load_model
from keras_inception_export.request import ExportRequest
from keras_inception_export.samples import load_samples
from keras_inception_export.twin import InferenceTwin

ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": "0"}
"""As the command has it, which says why; the user's own goes before."""


def export_in_tensorflow(
    model_or_path, request: ExportRequest, say: Callable[[str], None]
) -> dict:
    """Do what `export_model` does, in a child process.

    Args:
        model_or_path: the model, its file, or a function that builds it.
        request: what to make of it.
        say: called with a line for each step.

    Returns:
        The report.

    Raises:
        ExportError: as `export_model` raises it.
        RuntimeError: if the child fails otherwise.
    """
    if not isinstance(model_or_path, (str, Path, keras.Model)):
        model_or_path = model_or_path()
    with tempfile.TemporaryDirectory() as folder:
        options = {x.name: getattr(request, x.name) for x in fields(request)}
        options["samples"] = _samples(model_or_path, request, folder)
        job = {
            "path": model_or_path,
            "live": isinstance(model_or_path, keras.Model),
            "modules": [],
            "options": options,
        }
        if job["live"]:
            job["path"] = Path(folder) / f"{model_or_path.name}.keras"
            model_or_path.save(job["path"])
            job["modules"] = _modules(model_or_path)
        return _done(job, Path(folder) / "log.txt", say)


def _done(job, log, say):
    """Run the child, which prints what is not an answer into the log."""
    module = "keras_inception_export.export_worker"
    with (
        log.open("w") as file,
        subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(job, default=str)],
            env={**ENVIRONMENT, **os.environ, "KERAS_BACKEND": "tensorflow"},
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        ) as child,
    ):
        for line in child.stdout or ():
            answer = answered(line)
            if "report" in answer:
                return answer["report"]
            say(answer["step"])
    words = last_words(child.returncode, log.read_text(errors="replace"))
    raise RuntimeError(f"the export in a process of its own {words}")


def _modules(model):
    """Name the modules that define the model's custom layers."""
    modules = {type(layer).__module__ for layer in model._flatten_layers()}
    known = ("keras", "keras_inception_layers", "__main__")
    return sorted(x for x in modules if x.split(".")[0] not in known)


def _samples(model_or_path, request, folder):
    """Return the samples as a path: that of a file made of them, if need be."""
    samples = request.samples
    if samples is None or isinstance(samples, (str, Path)):
        return samples
    model = model_or_path
    if isinstance(model, (str, Path)):
        model = load_model(model)
    specs = InferenceTwin.of(functional(model)).inputs
    samples = load_samples(samples, specs)
    arrays: dict[str, Any] = dict(samples.inputs)
    if samples.labels is not None:
        arrays["y"] = samples.labels
    path = Path(folder) / "samples.npz"
    np.savez(path, **arrays)
    return path
