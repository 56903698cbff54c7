"""Verified export of Keras models to SavedModel, TFLite, ONNX and OpenVINO.

Importing this package imports neither Keras nor a runtime, so a device that
has only an artifact and its runtime can run it.
"""

import importlib

from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    ExportError,
    RequestError,
    RuntimeMissingError,
)

_MODULES = {
    "Preprocessing": "data.preprocessing",
    "benchmark": "benchmarking.run",
    "export_model": "pipeline.export_model",
    "diagnose": "diagnosis.diagnose",
    "load_artifact": "bundle.artifact",
    "verify": "verification.verify",
    "write_report": "report.write",
}

__all__ = [
    "ArtifactError",
    "ConversionError",
    "ExportError",
    "Preprocessing",
    "RequestError",
    "RuntimeMissingError",
    "benchmark",
    "diagnose",
    "export_model",
    "load_artifact",
    "verify",
    "write_report",
]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
