"""Describe a bundle, an artifact or a `.keras` file."""

import zipfile
from pathlib import Path
from typing import Any

from keras_inception_export.bundle import bundle
from keras_inception_export.data.reading import read_json, reading
from keras_inception_export.errors import RequestError, check_regular
from keras_inception_export.formats.registry import format_of


def describe(path: str | Path) -> dict[str, Any]:
    """Return what is known about a file or folder, as JSON can hold it.

    Nothing that it contains is run. Keras is not imported, and TensorFlow only
    for a SavedModel outside of a bundle.
    """
    path = Path(path)
    if (path / bundle.REPORT).is_file():
        return {"path": str(path), "kind": "bundle", **bundle.read_report(path)}
    if path.suffix == ".keras":
        return {"path": str(path), "kind": "keras", **_keras_file(path)}
    artifact_format = format_of(path)
    entry = bundle.check_published(path)
    if entry is None:
        inputs, outputs = artifact_format.specs(path)
        entry = {
            "inputs": [spec.as_json() for spec in inputs],
            "outputs": [spec.as_json() for spec in outputs],
        }
    known = artifact_format.read_metadata(path)
    return {
        "path": str(path),
        "kind": artifact_format.name,
        "bytes": artifact_format.nbytes(path),
        "sha256": bundle.sha256_of(path),
        "inputs": entry["inputs"],
        "outputs": entry["outputs"],
        "metadata": known and known.as_json(),
    }


def _keras_file(path):
    """Read a `.keras` file's config and metadata, which are JSON in a zip."""
    check_regular(path)
    with reading(path, "is not a Keras model", error=RequestError):
        with zipfile.ZipFile(path) as archive:
            config = read_json(archive, "config.json")
            metadata = read_json(archive, "metadata.json")
        layers = config["config"].get("layers", [])
        return {
            "name": str(config["config"].get("name", "")),
            "class": str(config["class_name"]),
            "bytes": path.stat().st_size,
            "layers": len(layers),
            "inputs": [
                _input(layer["config"])
                for layer in layers
                if layer["class_name"] == "InputLayer"
            ],
            "keras_version": str(metadata["keras_version"]),
            "date_saved": str(metadata["date_saved"]),
        }


def _input(config):
    dtype = config["dtype"]
    return {
        "name": str(config["name"]),
        "shape": [n if n is None else int(n) for n in config["batch_shape"]],
        "dtype": str(dtype["config"]["name"] if "config" in dtype else dtype),
    }
