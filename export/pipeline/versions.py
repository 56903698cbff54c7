"""The versions of the packages that an export is made with."""

import importlib.metadata
import platform

from keras_inception_export.formats.registry import FORMATS

PACKAGES = dict.fromkeys(
    (
        "keras-inception-layers",
        "keras",
        "numpy",
        *(package for x in FORMATS.values() for package in x.packages),
    )
)


def versions() -> dict[str, str | None]:
    """Return the version of Python and of each package; None if unknown.

    A package may be installed under another name, as `onnxruntime-gpu` and
    `tensorflow-cpu` are; then the version of that one is returned.
    """
    owners = importlib.metadata.packages_distributions()
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        names = owners.get(package.replace("-", "_"), [])
        name = package if package in names else next(iter(names), None)
        found[package] = name and importlib.metadata.version(name)
    return found
