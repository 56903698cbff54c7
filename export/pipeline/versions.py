"""The versions of the packages that an export uses, for the report."""

import contextlib
import functools
import importlib.metadata
import platform
from collections.abc import Mapping

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
    found: dict[str, str | None] = {"python": platform.python_version()}
    found |= {package: _version(package) for package in PACKAGES}
    return found


def _version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    owners = _owners().get(package.replace("-", "_"))
    return importlib.metadata.version(owners[0]) if owners else None


@functools.cache
def _owners() -> Mapping[str, list[str]]:
    """Return the packages of each module, which takes 0.3 s to find out."""
    return importlib.metadata.packages_distributions()
