"""Proven export of Keras models to SavedModel, TFLite and ONNX.

Importing this package imports neither Keras nor a runtime: a device that has
an artifact and its runtime can open it.
"""

import importlib

from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    ExportError,
    RequestError,
    RuntimeMissingError,
)

_ROOMS = {
    "benchmark": "benchmarking",
    "export_model": "pipeline",
    "diagnose": "diagnosis",
    "load_artifact": "artifact",
    "verify": "verification",
}

__all__ = [
    "ArtifactError",
    "ConversionError",
    "ExportError",
    "RequestError",
    "RuntimeMissingError",
    "benchmark",
    "diagnose",
    "export_model",
    "load_artifact",
    "verify",
]


def __getattr__(name):
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = importlib.import_module(f"{__name__}.{_ROOMS[name]}")
    return getattr(room, name)
