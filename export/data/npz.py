"""Read `.npy` and `.npz` files.

Their headers are checked before any array is allocated.
"""

import math
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np

from keras_inception_export.data.reading import check_expansion, check_members
from keras_inception_export.data.rows import Rows, Spool, file_rows, parts

BLOCK = 2**14
"""Bytes that are expanded together; no more are lost before damaged ones."""


def read_arrays(path: str | os.PathLike) -> Any:
    """Return the array in a `.npy` file, or those in a `.npz` file by name.

    Raises:
        ValueError: if an array declares more than the file contains, or the
            file is compressed to a hundredth of its content.
    """
    return _opened(path, _read)


def open_rows(path: str | os.PathLike) -> Any:
    """Return the same as `Rows`, for arrays that are larger than the memory.

    Those of a `.npz` file are expanded into temporary files.
    """

    def open_(file: IO[bytes], size: int) -> Rows:
        shape, is_fortran, dtype = _header(file, size)
        if dtype.hasobject:
            raise ValueError("it contains Python objects")
        facts = file.tell(), shape, dtype, "F" if is_fortran else "C"
        if not isinstance(file, zipfile.ZipExtFile):
            return file_rows(path, *facts)
        return _expanded(path, file.name, *facts)

    return _opened(path, open_)


def _expanded(path, member, offset, shape, dtype, order) -> Rows:
    """Return the rows of an array in an archive.

    It is expanded when it is read first. Rows before a damaged part are read.
    """
    spool = Spool()
    rows = file_rows(spool, offset, shape, dtype, order)
    size = math.prod(shape) * dtype.itemsize
    done, problem = 0, None

    def expand() -> None:
        nonlocal done, problem
        os.truncate(spool.file.fileno(), offset + size)
        try:
            with zipfile.ZipFile(path) as archive, archive.open(member) as file:
                while block := file.read(BLOCK):
                    done += os.pwrite(spool.file.fileno(), block, done)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            problem = error

    def read(chosen: np.ndarray) -> np.ndarray:
        if not done and problem is None:
            expand()
        end = size
        if order == "C" and len(chosen):
            end = (int(chosen.max()) + 1) * size // shape[0]
        if done < offset + end:
            raise problem or ValueError("it ends early")
        return rows.read(chosen)

    return Rows(shape, dtype, read)


def write_arrays(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray | Rows]
) -> None:
    """Write a `.npz` file, a few rows at a time."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            facts = {
                "descr": np.lib.format.dtype_to_descr(array.dtype),
                "fortran_order": False,
                "shape": array.shape,
            }
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, facts)
                for part in parts(array):
                    file.write(part.tobytes())


def _opened(
    path: str | os.PathLike, open_array: Callable[[IO[bytes], int], Any]
) -> Any:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if file.read(len(np.lib.format.MAGIC_PREFIX)).startswith(
            np.lib.format.MAGIC_PREFIX
        ):
            file.seek(0)
            return open_array(file, size)
        with zipfile.ZipFile(file) as archive:
            check_members(archive)
            members = archive.infolist()
            check_expansion(sum(x.file_size for x in members), size)
            arrays = {}
            for member in members:
                name, suffix = os.path.splitext(member.filename)
                if suffix == ".npy":
                    with archive.open(member) as content:
                        arrays[name] = open_array(content, member.file_size)
            return arrays


def _header(file: IO[bytes], size: int) -> tuple[tuple[int, ...], bool, Any]:
    """Return shape, order and dtype of the array in a file of `size` bytes."""
    is_first = np.lib.format.read_magic(file) == (1, 0)
    shape, is_fortran, dtype = (
        np.lib.format.read_array_header_1_0(file)
        if is_first
        else np.lib.format.read_array_header_2_0(file)
    )
    declared, found = math.prod(shape) * dtype.itemsize, size - file.tell()
    if dtype.itemsize == 0 or min(shape, default=0) < 0 or declared > found:
        raise ValueError(
            f"an array of {dtype} {shape} is declared in {found} bytes"
        )
    return shape, is_fortran, dtype


def _read(file: IO[bytes], size: int) -> np.ndarray:
    _header(file, size)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
