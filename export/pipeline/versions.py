"""What an export was made with."""

import importlib.metadata
import platform

PACKAGES = (
    "keras-inception-layers",
    "keras",
    "tensorflow",
    "tf2onnx",
    "onnx",
    "onnxruntime",
    "ai-edge-litert",
    "numpy",
)


def versions() -> dict[str, str | None]:
    """Return the version of Python and of each package; None if unknown.

    A package may be installed under another name, as `onnxruntime-gpu` and
    `tensorflow-cpu` are; then that one's version is told.
    """
    owners = importlib.metadata.packages_distributions()
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        names = owners.get(package.replace("-", "_"), [])
        name = package if package in names else next(iter(names), None)
        found[package] = name and importlib.metadata.version(name)
    return found
