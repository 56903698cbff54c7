"""Read `.npy` and `.npz` files."""

import os
import zipfile
import zlib
from typing import Any

import numpy as np

UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
"""The exceptions that reading a damaged file raises."""


def read_arrays(path: str | os.PathLike) -> Any:
    """Return the array in a `.npy` file, or those in a `.npz` file by name."""
    with open(path, "rb") as file:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        return {name: content[name] for name in content.files}
