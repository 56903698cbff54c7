"""Export under a Keras backend other than TensorFlow, in a child process.

The backend is fixed when Keras is imported, and conversion needs TensorFlow.
So the model is saved, and a child process with TensorFlow exports the file.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import keras

from keras_inception_export.bundle import bundle, publication
from keras_inception_export.child_process import run_in_child
from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.npz import write_arrays
from keras_inception_export.data.samples import has_files, load_samples
from keras_inception_export.errors import RequestError
from keras_inception_export.model import loading
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.pixels import pixel_spec, with_pixels
from keras_inception_export.model.reference import float32_outputs
from keras_inception_export.options import ExportOptions
from keras_inception_export.pipeline.make_probes import ADVICE, differences
from keras_inception_export.verification.parity import FACTOR
from keras_inception_export.verification.probes import Probes

ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": "0"}
"""As in `cli/main.py`, which says why; the user's own value has priority."""

BACKENDS_DIFFER = 8 * FACTOR
"""How many times the error of TensorFlow that of another backend may be."""


def export_in_tensorflow(source, options: ExportOptions) -> dict[str, Any]:
    """Export as `run_export` does, in a child process that runs TensorFlow."""
    if not isinstance(source, (str, Path, keras.Model)):
        source = source()
    with publication.staging(options.output_dir) as staged:
        folder = staged / "input"  # it is removed even after a kill
        folder.mkdir()
        arguments = {x.name: getattr(options, x.name) for x in fields(options)}
        arguments["output_dir"] = staged / "bundle"
        arguments["samples"] = _samples_file(source, options, folder)
        made = options.preprocess
        if isinstance(made, Mapping):
            arguments["preprocess"] = {x: made[x].as_json() for x in made}
        elif made is not None:
            arguments["preprocess"] = made.as_json()
        path, modules = source, []
        if isinstance(source, keras.Model):
            path = folder / f"{source.name}.keras"
            source.save(path)
            modules = _modules(source)
        report = run_in_child(
            __name__,
            "export_file",
            {**ENVIRONMENT, **os.environ, "KERAS_BACKEND": "tensorflow"},
            path=path,
            temporary=path is not source,
            modules=modules,
            options=arguments,
        )
        if isinstance(source, keras.Model):
            _check_live(source, staged / "bundle", report)
        publication.publish(
            staged / "bundle", options.output_dir, overwrite=options.overwrite
        )
        return report


def _check_live(model: keras.Model, folder: Path, report: Mapping) -> None:
    """Raise RequestError if the model itself does not compute the reference.

    The child process had a copy, loaded from a file, under another backend.
    """
    probes = Probes.load(bundle.published(folder, report, "probes"))
    inputs = Metadata.from_json(report["metadata"]).inputs
    built_in = {x.name: x.built_in for x in inputs if x.built_in}
    live = InferenceModel.of(with_pixels(loading.functional(model), built_in))
    outputs = float32_outputs(live, probes.feeds)
    if findings := differences(live, outputs, probes, BACKENDS_DIFFER):
        raise RequestError(
            "the model that Keras loads from a .keras file computes something "
            f"else than the given model: {findings[0]}; {ADVICE}"
        )


def export_file(
    path: str,
    temporary: bool,
    modules: Sequence[str],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Export a `.keras` file; called in the child process.

    The report does not name a temporary file. `modules` register custom layers.
    """
    from keras_inception_export.pipeline.export_model import run_export

    loading.import_modules(modules)
    source = functools.partial(loading.load_model, path) if temporary else path
    return run_export(source, ExportOptions(**options))


def _modules(model: keras.Model) -> list[str]:
    """Return the modules that define the model's custom layers."""
    modules = {type(layer).__module__ for layer in model._flatten_layers()}
    known = ("keras", "keras_inception_layers", "__main__")
    return sorted(x for x in modules if x.split(".")[0] not in known)


def _samples_file(source, options: ExportOptions, folder: Path):
    """Return the paths of the samples; write other samples to a file first."""
    samples = options.samples
    if samples is None or isinstance(samples, (str, Path)):
        return samples
    are_files, samples = has_files(samples)
    if are_files:
        paths = list(samples)
        if not all(isinstance(path, (str, Path)) for path in paths):
            raise RequestError(
                "the samples are Pillow images, which cannot be sent to the "
                "process that runs TensorFlow; give their paths"
            )
        return paths
    if isinstance(source, (str, Path)):
        source = loading.load_model(source)
    specs = InferenceModel.of(loading.functional(source)).inputs
    if options.pixels:
        specs = tuple(map(pixel_spec, specs))
    samples = load_samples(samples, specs)
    arrays: dict[str, Any] = dict(samples.inputs)
    if samples.labels is not None:
        arrays["y"] = samples.labels
    path = folder / "samples.npz"
    write_arrays(path, arrays)
    return path
