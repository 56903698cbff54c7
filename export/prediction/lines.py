"""Files of results that have one line per item, and can be continued."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_inception_export.data.items import Item
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, check_regular, writing
from keras_inception_export.prediction.pipeline import Prediction
from keras_inception_export.prediction.records import cells, columns, record


def _csv_line(row: Sequence[Any]) -> str:
    """Return the cells as a line of a CSV file."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()


@dataclass(frozen=True)
class Lines:
    """A kind of file.

    Args:
        head: `head(outputs, top)` returns what it begins with.
        line: `line(record, outputs, top)` returns the line of a record.
        row: `row(line)` returns the name and the error in a line.
    """

    head: Callable[..., str]
    line: Callable[..., str]
    row: Callable[[str], Sequence[Any]]


LINES = {
    ".csv": Lines(
        lambda *arguments: _csv_line(columns(*arguments)),
        lambda *arguments: _csv_line(cells(*arguments)),
        lambda line: next(csv.reader([line]))[:2],
    ),
    ".jsonl": Lines(
        lambda *_: "",
        lambda values, *_: json.dumps(values) + "\n",
        lambda line: [json.loads(line)[x] for x in ("name", "error")],
    ),
}
"""The kinds of files by their suffix."""


class LineWriter:
    """Writes one line of text per item; see `open_writer`."""

    def __init__(
        self,
        lines: Lines,
        path: Path,
        outputs: Sequence[TensorSpec],
        top: int,
        resumed: int | None,
    ) -> None:
        self._path, self._line = path, lines.line
        self._outputs, self._top = outputs, top
        mode = "wb" if resumed is None else "r+b"
        with ExitStack() as stack:
            self._file = stack.enter_context(open(path, mode, buffering=0))
            if resumed is None:
                self._put(lines.head(outputs, top))
            else:
                self._file.truncate(resumed)
                self._file.seek(resumed)
            stack.pop_all()

    def write(self, predictions: Sequence[Prediction]) -> None:
        """Write the results of some items."""
        records = (record(x, self._outputs, self._top) for x in predictions)
        text = "".join(self._line(x, self._outputs, self._top) for x in records)
        with writing(self._path):
            self._put(text)

    def _put(self, text: str) -> None:
        content = memoryview(text.encode())
        while content:
            content = content[self._file.write(content) :]

    def close(self) -> None:
        """Close the file."""
        with writing(self._path):
            self._file.close()


@dataclass(frozen=True)
class Resumed:
    """What a file has of an interrupted run.

    Args:
        items: the number of items whose results it has.
        length: the number of bytes to keep; `None`: it begins anew.
        failed: how many of these items failed.
        error: the error of the first one of these.
    """

    items: int = 0
    length: int | None = None
    failed: int = 0
    error: str | None = None


def resume(
    path: Path,
    items: Iterator[Item],
    outputs: Sequence[TensorSpec],
    top: int,
    size: int,
) -> Resumed:
    """Advance `items` past those that a file has.

    What follows the last whole batch is computed again, so that each item is
    in a batch with the same others, and each number has the same bits.

    Args:
        path: the file of an interrupted run, with a suffix of `LINES`.
        items: all items, from the first one.
        outputs: the outputs of the artifact.
        top: how many classes of an output are written.
        size: the number of items in a batch.

    Raises:
        RequestError: if it is the file of other inputs, or of other columns.
    """
    lines = LINES[path.suffix]
    expected = lines.head(outputs, top).encode()
    if not path.exists():
        return Resumed()
    check_regular(path)
    with open(path, "rb") as file:
        found = file.read(len(expected))
        if found != expected[: len(found)]:
            raise RequestError(
                f"{path} has other columns, so it is not the file of an "
                "interrupted run with these options; write another file"
            )
        if len(found) < len(expected):
            return Resumed()
        rows = sum(line.endswith(b"\n") for line in file)
        kept = rows // size * size
        failed, first = 0, None
        file.seek(length := len(expected))
        for number in range(rows):
            try:
                name, error = lines.row(file.readline().decode())
            except (
                ValueError,
                LookupError,
                TypeError,
                RecursionError,
            ) as wrong:
                raise _other_row(path, number, "a result") from wrong
            if number >= kept:
                continue
            length = file.tell()
            item = next(items, None)
            if item is None or item.name != name:
                found_name = "no more inputs" if item is None else item.name
                raise _other_row(path, number, found_name)
            failed += bool(error)
            first = first or error
        return Resumed(kept, length, failed, first or None)


def _other_row(path: Path, number: int, expected: str) -> RequestError:
    return RequestError(
        f"{path} cannot be continued: its row {number + 1} is not that of "
        f"{expected}; the inputs changed, so write another file"
    )
