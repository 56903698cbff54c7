"""The rows of `.npy` and `.npz` files, one after the other.

A file is never in memory as a whole, unless it is in Fortran order.
"""

import contextlib
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_inception_export.data.reading import reading
from keras_inception_export.data.samples import array_names, check_shape
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class ArrayRows:
    """The rows of the arrays of one file.

    Args:
        path: a `.npy` or `.npz` file.
        specs: the inputs of the model.

    Raises:
        RequestError: if the arrays do not fit the inputs.
    """

    def __init__(self, path: Path, specs: Sequence[TensorSpec]) -> None:
        self._path, self._specs = path, specs
        with reading(path, error=RequestError), self._open() as arrays:
            self.count = _checked(arrays, specs, path)

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        with self._open() as arrays:
            yield from map(
                lambda rows: dict(zip(arrays, rows, strict=True)),
                zip(*(array.rows() for array in arrays.values()), strict=True),
            )

    @contextlib.contextmanager
    def _open(self) -> Iterator[dict[str, "_Array"]]:
        """Open the array of each input."""
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(open(self._path, "rb"))
            if file.read(2) != b"PK":
                size = file.seek(0, 2)
                file.seek(0)
                names = array_names(None, self._specs, str(self._path))
                yield {name: _Array(file, size) for name in names}
                return
            archive = stack.enter_context(zipfile.ZipFile(file))
            sizes = {
                entry.filename.removesuffix(".npy"): entry.file_size
                for entry in archive.infolist()
                if entry.filename.endswith(".npy")
            }
            names = array_names(sizes, self._specs, str(self._path))
            yield {
                name: _Array(
                    stack.enter_context(archive.open(f"{key}.npy")), sizes[key]
                )
                for name, key in names.items()
            }


class _Array:
    """One array in a file, of which only the header is read at first."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"the version {version} of its format is unknown")
        self.shape, self._fortran, self.dtype = _HEADERS[version](file)
        if self.dtype.hasobject:
            raise ValueError("it contains Python objects")
        self._row = math.prod(self.shape[1:]) * self.dtype.itemsize
        if math.prod(self.shape[:1]) * self._row > size - file.tell():
            raise ValueError("it ends early")

    def rows(self) -> Iterator[np.ndarray]:
        if self._fortran:
            self._file.seek(0)
            yield from np.lib.format.read_array(self._file)
            return
        for _ in range(self.shape[0]):
            content = self._file.read(self._row)
            if len(content) < self._row:
                raise ValueError("it ends early")
            yield np.frombuffer(content, self.dtype).reshape(self.shape[1:])


def _checked(
    arrays: Mapping[str, _Array], specs: Sequence[TensorSpec], path: Path
) -> int:
    """Return the number of rows, if the shapes fit the inputs."""
    for spec in specs:
        check_shape(arrays[spec.name].shape, spec, str(path))
    counts: dict[str, Any] = {n: a.shape[0] for n, a in arrays.items()}
    if len(set(counts.values())) > 1:
        raise RequestError(
            f"{path} must have the same number of samples for each input, "
            f"got {counts}"
        )
    return counts[specs[0].name]
