"""Write results to a file while they come, whole rows at a time.

.csv, .jsonl    a row per item, also of those that failed; can be continued
.parquet        the same rows
.npz            the whole outputs of the items that did not fail

The last two replace an older file once they are complete.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from keras_inception_export.data.archives import import_pyarrow
from keras_inception_export.data.npz import write_arrays
from keras_inception_export.data.rows import Spool
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, writing
from keras_inception_export.prediction.lines import LINES, LineWriter
from keras_inception_export.prediction.pipeline import Prediction
from keras_inception_export.prediction.records import (
    CLASS,
    is_scores,
    record,
)


class Writer(Protocol):
    """Writes results to a file, which is complete when it is closed."""

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Write the results of some items."""

    def close(self) -> None:
        """Finish the file."""


def open_writer(
    path: Path,
    outputs: Sequence[TensorSpec],
    top: int,
    *,
    resumed: int | None = None,
) -> Writer:
    """Return the writer of a file, of the kind that its suffix says.

    Args:
        path: the file, which is overwritten unless it is continued.
        outputs: the outputs of the artifact.
        top: how many classes of an output are written.
        resumed: the number of bytes that are kept. Defaults to `None`: a new
            file.
    """
    check_output(path)
    with writing(path):
        return WRITERS[path.suffix](path, outputs, top, resumed)


def check_output(path: Path, *, resume: bool = False) -> None:
    """Raise RequestError if a file cannot be written, or not continued."""
    if path.suffix not in WRITERS:
        raise RequestError(
            f"{path} cannot be written: expected a name that ends in "
            f"{', '.join(WRITERS)}"
        )
    if path.is_fifo():  # which waits for a reader, perhaps for ever
        raise RequestError(f"{path} is a pipe; expected the name of a file")
    if resume and path.suffix not in LINES:
        raise RequestError(
            f"{path} cannot be continued: resume with a file that ends in "
            f"{' or '.join(LINES)}"
        )


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a new path, whose file replaces `path` at the end of a block."""
    with writing(path):
        target = path.resolve()
        if not target.is_file():  # such as a device
            yield target
            return
        with tempfile.TemporaryDirectory(
            dir=target.parent, prefix="."
        ) as folder:
            yield (complete := Path(folder, path.name))
            shutil.copymode(target, complete)
            complete.replace(target)


class _Parquet:
    """Writes a Parquet file."""

    ROWS = 1024

    def __init__(self, path, outputs, top, resumed):
        pyarrow = import_pyarrow(path)
        self._arrow, self._path = pyarrow, path
        self._outputs, self._top = outputs, top
        self._records: list[dict] = []
        kinds = {spec.name: self._kind(pyarrow, spec) for spec in self._outputs}
        self._schema = pyarrow.schema(
            {
                "name": pyarrow.string(),
                "error": pyarrow.string(),
                "outputs": pyarrow.struct(kinds),
            }
        )
        open(path, "ab").close()  # fails now rather than in the end
        self._spool = Spool(folder=path.parent)
        self._file = pyarrow.parquet.ParquetWriter(
            self._spool.file, self._schema
        )

    @staticmethod
    def _kind(pyarrow, spec):
        number = pyarrow.from_numpy_dtype(np.dtype(spec.dtype))
        if spec.scale is not None:
            number = pyarrow.float32()
        if is_scores(spec):
            kinds = (pyarrow.int64(), pyarrow.string(), number)
            return pyarrow.list_(
                pyarrow.struct(dict(zip(CLASS, kinds, strict=True)))
            )
        for _ in spec.shape[1:]:
            number = pyarrow.list_(number)
        return number

    def write(self, predictions: Sequence[Prediction]) -> None:
        self._records += [
            record(x, self._outputs, self._top) for x in predictions
        ]
        if len(self._records) >= self.ROWS:
            self._flush()

    def _flush(self) -> None:
        table = self._arrow.Table.from_pylist(self._records, self._schema)
        with writing(self._path):
            self._file.write_table(table)
        self._records = []

    def close(self) -> None:
        self._flush()
        with _replacing(self._path) as path:
            self._file.close()
            self._spool.file.seek(0)
            with open(path, "wb") as file:
                shutil.copyfileobj(self._spool.file, file)


class _Npz:
    """Writes the arrays of the outputs; they are on the disk until then."""

    def __init__(self, path, outputs, top, resumed):
        self._path = path
        open(path, "ab").close()  # fails now rather than in the end
        self._spools: dict[str, Spool] = {}

    def write(self, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            for name, array in prediction.outputs.items():
                with writing(self._path):
                    self._append(name, np.asarray(array))

    def _append(self, name: str, array: np.ndarray) -> None:
        if name not in self._spools:
            self._spools[name] = Spool(array.shape, self._path.parent)
        spool = self._spools[name]
        if array.shape != spool.shape:
            raise RequestError(
                f"{self._path} cannot hold outputs of the shapes "
                f"{spool.shape} and {array.shape}; write a .jsonl"
            )
        spool.append(array[None])

    def close(self) -> None:
        with _replacing(self._path) as path:
            write_arrays(path, {n: x.rows() for n, x in self._spools.items()})


WRITERS: dict[str, Callable[..., Writer]] = {
    **{name: partial(LineWriter, lines) for name, lines in LINES.items()},
    ".parquet": _Parquet,
    ".npz": _Npz,
}
"""The writer of each kind of file, by its suffix."""
