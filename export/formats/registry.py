"""The formats of the exporter. A new one is a folder and a line here."""

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_inception_export.errors import RequestError, check_regular
from keras_inception_export.formats.format import Format

FORMATS: dict[str, Format] = {
    name: importlib.import_module(f"{__package__}.{name}").FORMAT
    for name in ("saved_model", "tflite", "onnx", "openvino")
}
"""Every format by its name; each is the `FORMAT` of the folder of that name."""

DEFAULT_FORMATS = tuple(
    name for name, record in FORMATS.items() if record.default
)
"""What is written unless formats are named."""

FASTEST_FIRST = ("openvino", "onnx", "tflite", "saved_model")
"""The order in which the artifact of a bundle is chosen for predictions."""

SCHEMES = tuple(
    dict.fromkeys(
        scheme for record in FORMATS.values() for scheme in record.schemes
    )
)
"""Every quantization scheme, in the order in which artifacts are reported."""


def display_name(name: str, scheme: str | None = None) -> str:
    """Return what a person calls an artifact: `onnx`, or `onnx int8`."""
    return name if scheme is None else f"{name} {scheme}"


def artifact_name(entry: Mapping[str, Any]) -> str:
    """Return the displayed name of an artifact in a report."""
    return display_name(entry["format"], entry.get("quantization"))


def format_of(path: Path) -> Format:
    """Return the format of an artifact, identified by its name.

    Raises:
        RequestError: if nothing exists at `path`, or nothing recognised.
    """
    check_regular(path)
    if not os.fsencode(path).decode(errors="ignore") == str(path):
        raise RequestError(
            f"the path {path} is not in UTF-8, which the runtimes need; rename "
            "the file or its folder"
        )
    for candidate in FORMATS.values():
        if candidate.recognizes(path):
            return candidate
    expected = ", ".join(
        f"a {suffix} file"
        for candidate in FORMATS.values()
        for suffix in candidate.suffixes
    )
    raise RequestError(
        f"{path} is not a recognised artifact: expected {expected} or a "
        "SavedModel folder"
    )
