"""Arrays that are never in memory as a whole; needs only numpy."""

import math
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.errors import RequestError

PART = 16
"""Rows that are read together."""


@dataclass(frozen=True, eq=False)
class Rows:
    """An array whose rows are read each time that they are indexed.

    `read` returns the rows of an array of indices.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, (int, np.integer)):
            return self.read(np.array([rows]))[0]
        return self.read(np.arange(len(self))[rows])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def take(self, rows: slice | np.ndarray) -> "Rows":
        """Return some of the rows, which are not read yet."""
        chosen = np.arange(len(self))[rows]
        return Rows(
            (len(chosen), *self.shape[1:]),
            self.dtype,
            lambda found: self.read(chosen[found]),
        )

    @cached_property
    def ends(self) -> np.ndarray:
        """The smallest and the largest value per index of the last axis.

        All rows are read for it.
        """
        width = self.shape[-1] if self.ndim > 1 else 1
        ends = np.empty((0, width), self.dtype)
        for part in parts(self):
            rows = np.concatenate([ends, part.reshape(-1, width)])
            ends = np.array([rows.min(axis=0), rows.max(axis=0)])
        return ends


def parts(array: Any, size: int = PART) -> Iterator[np.ndarray]:
    """Yield the rows of an array, or of `Rows`, a few at a time."""
    for start in range(0, len(array), size):
        yield array[start : start + size]


def joined(arrays: Sequence[Any], origin: str) -> Any:
    """Return the rows of arrays, or of `Rows`, one after the other.

    Raises:
        RequestError: if the rows have different shapes.
    """
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1:
        raise RequestError(
            f"{origin} differ in shape: "
            f"{', '.join(map(str, sorted(shapes)[:3]))}"
            f"{', …' * (len(shapes) > 3)}; give samples of one shape"
        )
    first, *others = arrays
    if not others:
        return first
    starts = np.cumsum([0, *map(len, arrays)])

    def read(rows: np.ndarray) -> np.ndarray:
        where = np.searchsorted(starts, rows, "right") - 1
        places = zip(where, rows - starts[where], strict=True)
        found = [arrays[array][row] for array, row in places]
        return np.stack(found) if found else first[:0]

    return Rows((int(starts[-1]), *first.shape[1:]), first.dtype, read)


def file_rows(
    source: "Spool | str | os.PathLike",
    offset: int,
    shape: tuple[int, ...],
    dtype: Any,
    order: Any = "C",
) -> Rows:
    """Return the rows of the array that begins at an offset in a file.

    The file is mapped for each reading only: pages that stay mapped count as
    memory of the process. The order is "C", or "F" for Fortran's.
    """

    def read(rows: np.ndarray) -> np.ndarray:
        if not math.prod(shape):
            return np.empty(shape, dtype)[rows]
        file = source.file if isinstance(source, Spool) else source
        return np.array(np.memmap(file, dtype, "r", offset, shape, order)[rows])

    return Rows(shape, np.dtype(dtype), read)


class Spool:
    """A temporary file, which exists as long as something reads it.

    Rows of a shape can be appended to it. It is in `folder`, if one is given.
    """

    def __init__(
        self, shape: tuple[int, ...] = (), folder: Path | None = None
    ) -> None:
        self.file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        # Unlike `__del__`, before the file itself is collected.
        weakref.finalize(self, self.file.close)
        self.shape = shape
        self._length, self._dtype = 0, np.dtype("float32")

    def append(self, rows: np.ndarray) -> None:
        """Write rows, all of one dtype."""
        self._length, self._dtype = self._length + len(rows), rows.dtype
        self.file.write(rows.tobytes())

    def rows(self) -> Rows:
        """Return what was appended."""
        self.file.flush()
        return file_rows(self, 0, (self._length, *self.shape), self._dtype)
