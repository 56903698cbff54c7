"""Write results to a file while they come, whole rows at a time.

.csv, .jsonl    a row per item, also of those that failed; can be continued
.parquet        the same rows; is readable once it is closed
.npz            the whole outputs of the items that did not fail
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from keras_inception_export.data.archives import import_pyarrow
from keras_inception_export.data.npz import write_arrays
from keras_inception_export.data.rows import Spool
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, writing
from keras_inception_export.prediction.lines import LINES, Write, write_lines
from keras_inception_export.prediction.pipeline import Prediction
from keras_inception_export.prediction.records import (
    CLASS,
    is_scores,
    record,
)

ROWS = 1024
"""Rows of a Parquet file that are written together."""


@contextmanager
def open_writer(
    path: Path,
    outputs: Sequence[TensorSpec],
    top: int,
    *,
    resumed: int | None = None,
    part: Path | None = None,
) -> Iterator[Write]:
    """Yield a function that writes the results of some items to a file.

    The suffix of the file says of what kind it is. It is complete at the end;
    after an error, only one of `LINES` has what came before. It is written at
    `part`, if that is given, and is a new one unless `resumed` bytes are kept.
    """
    with ExitStack() as stack:
        with writing(path):
            write = stack.enter_context(
                WRITERS[path.suffix](part or path, outputs, top, resumed)
            )
        yield writing(path)(write)
        with writing(path):
            stack.close()


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
def _parquet(path, outputs, top, resumed) -> Iterator[Write]:
    pyarrow = import_pyarrow(path.name)
    kinds = {spec.name: _kind(pyarrow, spec) for spec in outputs}
    columns = {
        "name": pyarrow.string(),
        "error": pyarrow.string(),
        "outputs": pyarrow.struct(kinds),
    }
    schema = pyarrow.schema(columns)
    records: list[dict] = []

    def flush() -> None:
        file.write_table(pyarrow.Table.from_pylist(records, schema))
        records.clear()

    def write(predictions: Sequence[Prediction]) -> None:
        records.extend(record(x, outputs, top) for x in predictions)
        if len(records) >= ROWS:
            flush()

    with pyarrow.parquet.ParquetWriter(path, schema) as file:
        yield write
        flush()


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


@contextmanager
def _npz(path, outputs, top, resumed) -> Iterator[Write]:
    """Write the arrays of the outputs; they are on the disk until the end."""
    spools: dict[str, Spool] = {}

    def write(predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            for name, array in prediction.outputs.items():
                if name not in spools:
                    spools[name] = Spool(array.shape, path.parent)
                spool = spools[name]
                if array.shape != spool.shape:
                    raise RequestError(
                        f"{path.name} cannot hold outputs of the shapes "
                        f"{spool.shape} and {array.shape}; write a .jsonl"
                    )
                spool.append(array[None])

    yield write
    write_arrays(path, {name: spool.rows() for name, spool in spools.items()})


WRITERS: dict[str, Callable[..., AbstractContextManager[Write]]] = {
    **{name: partial(write_lines, lines) for name, lines in LINES.items()},
    ".parquet": _parquet,
    ".npz": _npz,
}
"""What writes each kind of file, by its suffix."""
