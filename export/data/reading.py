"""Read files from outside, which may be damaged or made to do harm.

`reading` turns whatever a library raises into one line. The other functions
bound what a compressed file expands to, before it is expanded.
"""

import contextlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from keras_inception_export.errors import (
    ArtifactError,
    ExportError,
    RequestError,
    exhausted,
    os_reason,
    reason_of,
)

WEIGHTS = "model.weights.h5"
"""The HDF5 file in a `.keras` file."""

FREE = 2**28
"""Bytes that a file may expand to, however small it is."""

MAX_EXPANSION = 100
"""How many times larger than the file its content may be, above `FREE`."""

MAX_JSON = 2**22
"""Bytes of JSON, which becomes 30 times as large in memory, that are read
however small the file is."""

MAX_REASON = 200  # characters of a library's message, which may quote the file


@contextlib.contextmanager
def reading(
    path: str | os.PathLike,
    problem: str = "cannot be read",
    action: str = "",
    error: type[ExportError] = ArtifactError,
) -> Iterator[None]:
    """Raise any error as one line that names the file.

    It is not documented what a library raises for a damaged file. A file that
    may not be read, or does not fit into memory, is a RequestError; any other
    error is of the class `error`, and ends in the `action` to take.
    """
    try:
        yield
    except ExportError:
        raise
    except PermissionError as cause:
        raise RequestError(
            f"{cause.filename or path} cannot be read: {os_reason(cause)}"
        ) from cause
    except MemoryError as cause:
        raise RequestError(
            f"{path} {problem}: there is not enough memory for it"
        ) from cause
    except Exception as cause:
        reason = exhausted(cause) or reason_of(cause)
        if len(reason) > MAX_REASON:
            reason = f"{reason[:MAX_REASON]}…"
        end = action and f"; {action}"
        raise error(f"{path} {problem}: {reason}{end}") from cause


def first_problem(error: Any) -> str:
    """Return the first of the problems that pydantic found, as one line."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]


def check_expansion(
    declared: int,
    size: int,
    free: int = FREE,
    action: str = "save it again without compression",
) -> None:
    """Raise ValueError if a file of `size` bytes expands to many more.

    It may declare `free` bytes in any case.
    """
    if declared > max(free, MAX_EXPANSION * size):
        raise ValueError(
            f"it declares {declared / 1e9:.2g} GB in {size / 1e6:.2g} MB, "
            f"more than {MAX_EXPANSION} times as much; {action}"
        )


def check_members(archive: zipfile.ZipFile) -> None:
    """Raise ValueError for members that a reader cannot rely on.

    That is a compression whose expansion has no bound, and a name that two
    have, of which programs may read either.
    """
    if len(archive.namelist()) > len(set(archive.namelist())):
        raise ValueError("two files in it have the same name")
    for info in archive.infolist():
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{info.filename} is neither stored nor deflated")


def read_json(archive: zipfile.ZipFile, name: str) -> Any:
    """Return the content of a JSON file in an archive."""
    check_members(archive)
    info = archive.getinfo(name)
    check_expansion(info.file_size, info.compress_size, MAX_JSON)
    return json.loads(archive.read(info))


def stored_file(archive: zipfile.ZipFile, name: str) -> IO[bytes] | None:
    """Return a file in an archive if it is stored without compression.

    A seek in it reads nothing. A seek in what `zipfile` opens reads all bytes
    up to the new position.
    """
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    return _Stored(archive.fp, info)  # type: ignore[return-value]


class _Stored(io.RawIOBase):
    """A part of a file."""

    def __init__(self, file: Any, info: zipfile.ZipInfo) -> None:
        file.seek(info.header_offset + 26)
        header = 30 + sum(struct.unpack("<HH", file.read(4)))
        self._file, self._start = file, info.header_offset + header
        self._size, self._position = info.file_size, 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._position)
        count = min(len(buffer), max(0, self._size - self._position))
        content = self._file.read(count)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)
