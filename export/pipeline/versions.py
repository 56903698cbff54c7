"""The versions of the packages that an export uses, for the report."""

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
    """Return the versions of Python and the packages; `None` if not installed.

    A package that is installed under another name, such as `onnxruntime-gpu` or
    `tensorflow-cpu`, is reported with that package's version.
    """
    owners = importlib.metadata.packages_distributions()
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        names = owners.get(package.replace("-", "_"), [])
        name = package if package in names else next(iter(names), None)
        found[package] = name and importlib.metadata.version(name)
    return found
