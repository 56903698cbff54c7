"""Read `.npy` and `.npz` files.

Their headers are checked before any array is allocated.
"""

import math
import os
import zipfile
from typing import IO, Any

import numpy as np

from keras_inception_export.data.reading import check_expansion, check_methods


def read_arrays(path: str | os.PathLike) -> Any:
    """Return the array in a `.npy` file, or those in a `.npz` file by name.

    Raises:
        ValueError: if an array declares more than the file contains, or the
            file is compressed to a hundredth of its content.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(np.lib.format.MAGIC_PREFIX)).startswith(
            np.lib.format.MAGIC_PREFIX
        ):
            file.seek(0)
            return _read(file, size)
        with zipfile.ZipFile(file) as archive:
            check_methods(archive)
            members = archive.infolist()
            check_expansion(sum(x.file_size for x in members), size)
            arrays = {}
            for member in members:
                name, suffix = os.path.splitext(member.filename)
                if suffix == ".npy":
                    with archive.open(member) as content:
                        arrays[name] = _read(content, member.file_size)
            return arrays


def _read(file: IO[bytes], size: int) -> np.ndarray:
    """Return the array in a file of `size` bytes."""
    is_first = np.lib.format.read_magic(file) == (1, 0)
    shape, _, dtype = (
        np.lib.format.read_array_header_1_0(file)
        if is_first
        else np.lib.format.read_array_header_2_0(file)
    )
    declared, found = math.prod(shape) * dtype.itemsize, size - file.tell()
    if dtype.itemsize == 0 or min(shape, default=0) < 0 or declared > found:
        raise ValueError(
            f"an array of {dtype} {shape} is declared in {found} bytes"
        )
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
