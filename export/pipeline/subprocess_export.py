"""The export under another Keras backend: in a process that runs TensorFlow.

A backend is chosen once, when Keras is imported, and conversion needs
TensorFlow's. So the model is saved, and a child process exports the file.
"""

import functools
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_inception_export.child_process import run_in_child
from keras_inception_export.data.samples import load_samples
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.loading import (
    functional,
    import_modules,
    load_model,
)
from keras_inception_export.options import ExportOptions

ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": "0"}
"""As the command sets it, which says why; the user's own value wins."""


def export_in_tensorflow(source, options: ExportOptions) -> dict[str, Any]:
    """Do what `run_export` does, in a child process.

    Args:
        source: the model, the path of its file, or a function that builds it.
        options: the options of the export.

    Returns:
        The report.

    Raises:
        ExportError: as `export_model` raises it.
        RuntimeError: if the child ends otherwise.
    """
    if not isinstance(source, (str, Path, keras.Model)):
        source = source()
    with tempfile.TemporaryDirectory() as folder:
        arguments = {x.name: getattr(options, x.name) for x in fields(options)}
        arguments["samples"] = _samples_file(source, options, Path(folder))
        live = isinstance(source, keras.Model)
        path, modules = source, []
        if live:
            path = Path(folder) / f"{source.name}.keras"
            source.save(path)
            modules = _modules(source)
        return run_in_child(
            __name__,
            "export_file",
            {**ENVIRONMENT, **os.environ, "KERAS_BACKEND": "tensorflow"},
            path=path,
            temporary=live,
            modules=modules,
            options=arguments,
        )


def export_file(
    path: str,
    temporary: bool,
    modules: Sequence[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Export a `.keras` file; runs in the child.

    Args:
        path: the file.
        temporary: whether it is removed afterwards, so that no report may
            name it.
        modules: what to import for custom layers.
        options: the fields of an `ExportOptions`.
    """
    from keras_inception_export.pipeline.export_model import run_export

    import_modules(modules)
    source = functools.partial(load_model, path) if temporary else path
    return run_export(source, ExportOptions(**options))


def _modules(model: keras.Model) -> list[str]:
    """Name the modules that define the model's custom layers."""
    modules = {type(layer).__module__ for layer in model._flatten_layers()}
    known = ("keras", "keras_inception_layers", "__main__")
    return sorted(x for x in modules if x.split(".")[0] not in known)


def _samples_file(source, options: ExportOptions, folder: Path):
    """Return the samples as a path: if need be, of a file made of them."""
    samples = options.samples
    if samples is None or isinstance(samples, (str, Path)):
        return samples
    model = load_model(source) if isinstance(source, (str, Path)) else source
    specs = InferenceModel.of(functional(model)).inputs
    samples = load_samples(samples, specs)
    arrays: dict[str, Any] = dict(samples.inputs)
    if samples.labels is not None:
        arrays["y"] = samples.labels
    path = folder / "samples.npz"
    np.savez(path, **arrays)
    return path
