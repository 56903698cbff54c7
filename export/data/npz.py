"""Files of arrays."""

import zipfile
import zlib

import numpy as np

UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)
"""What a damaged file raises."""


def read_arrays(path):
    """Return the array of a `.npy` file, or those of a `.npz` by name."""
    with open(path, "rb") as file:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        return {name: content[name] for name in content.files}
