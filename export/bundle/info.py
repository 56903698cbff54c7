"""Describe a bundle, an artifact or a `.keras` file."""

import json
import zipfile
from pathlib import Path
from typing import Any

from keras_inception_export.bundle import bundle
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
    return {
        "path": str(path),
        "kind": artifact_format.name,
        "bytes": bundle.size_of(path),
        "sha256": bundle.sha256_of(path),
        "inputs": entry["inputs"],
        "outputs": entry["outputs"],
    }


def _keras_file(path):
    """Read a `.keras` file's config and metadata, which are JSON in a zip."""
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read("metadata.json"))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError):
        raise RequestError(f"{path} is not a Keras model") from None
    layers = config["config"].get("layers", [])
    return {
        "name": config["config"].get("name", ""),
        "class": config["class_name"],
        "bytes": path.stat().st_size,
        "layers": len(layers),
        "inputs": [
            {
                "name": layer["config"]["name"],
                "shape": layer["config"]["batch_shape"],
                "dtype": layer["config"]["dtype"],
            }
            for layer in layers
            if layer["class_name"] == "InputLayer"
        ],
        "keras_version": metadata["keras_version"],
        "date_saved": metadata["date_saved"],
    }
