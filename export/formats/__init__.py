"""One file a format, each with the same two functions.

`write(twin, path, *, opset)` writes the artifact at `path`;
`open_runner(path)` opens it with its own runtime.
"""

import importlib
from pathlib import Path
from types import ModuleType

from keras_inception_export.errors import RequestError

FILES = {
    "saved_model": "saved_model",
    "tflite": "model.tflite",
    "onnx": "model.onnx",
}
"""Each format, and what its artifact is called in a bundle."""

SCHEMES = ("float16", "dynamic", "int8")
"""How TFLite and ONNX artifacts can be quantized."""


def file_name(name: str, scheme: str | None = None) -> str:
    """Return what an artifact is called in a bundle.

    Args:
        name: its format.
        scheme: how it is quantized; `None` for float32.
    """
    path = Path(FILES[name])
    return path.name if scheme is None else f"{path.stem}.{scheme}{path.suffix}"


INSIDE = {"tflite": "tflite_inside", "onnx": "onnx_inside"}
"""The formats whose layers can be looked at one by one."""


def spoken_name(name: str, scheme: str | None = None) -> str:
    """Return what a person calls an artifact: `onnx`, or `onnx int8`."""
    return name if scheme is None else f"{name} {scheme}"


def format_module(name: str) -> ModuleType:
    """Return the module that writes and opens a format."""
    return importlib.import_module(f"{__name__}.{name}")


def inside_module(name: str) -> ModuleType | None:
    """Return the module that opens a format from within; None if none can."""
    if name not in INSIDE:
        return None
    return importlib.import_module(f"{__name__}.{INSIDE[name]}")


def format_of(path: Path) -> str:
    """Return the format of an artifact, told by its name.

    Raises:
        RequestError: if there is nothing at `path`, or nothing we know.
    """
    if not path.exists():
        raise RequestError(f"{path} does not exist")
    if path.suffix == ".onnx":
        return "onnx"
    if path.suffix == ".tflite":
        return "tflite"
    if (path / "saved_model.pb").is_file():
        return "saved_model"
    raise RequestError(
        f"{path} is no artifact: expected a .onnx file, a .tflite file or a "
        "SavedModel folder"
    )
