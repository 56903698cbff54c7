"""Files of results that have one line per item, and can be continued."""

import csv
import io
import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_inception_export.data.items import Item
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, check_regular
from keras_inception_export.prediction.pipeline import Pipeline, Prediction
from keras_inception_export.prediction.records import cells, record

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")

CLOSE = {"rel_tol": 1e-4, "abs_tol": 1e-5}
"""How close the results of one artifact are on different processors: float32
gives 1e-6, and an artifact in float16 is off by 1e-3."""


NOTHING = {"name": None, "error": None, "outputs": None}
"""The record whose cells have the columns of all others."""


def _csv_line(row: Iterable[Any]) -> str:
    """Return the cells as a line of a CSV file."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()


@dataclass(frozen=True)
class Lines:
    """A kind of file: what it begins with, its lines, and what they mean."""

    head: Callable[[Sequence[TensorSpec], int], str]
    line: Callable[[Mapping[str, Any], Sequence[TensorSpec], int], str]
    name_and_error: Callable[[str], Sequence[Any]]


LINES = {
    ".csv": Lines(
        lambda *arguments: _csv_line(cells(NOTHING, *arguments)),
        lambda *arguments: _csv_line(cells(*arguments).values()),
        lambda line: next(csv.reader([line]))[:2],
    ),
    ".jsonl": Lines(
        lambda *_: "",
        lambda values, *_: json.dumps(values) + "\n",
        lambda line: [json.loads(line)[x] for x in ("name", "error")],
    ),
}
"""The kinds of files by their suffix."""


Write = Callable[[Sequence[Prediction]], None]
"""Writes the results of some items."""


@contextmanager
def write_lines(
    lines: Lines,
    path: Path,
    outputs: Sequence[TensorSpec],
    top: int,
    resumed: int | None,
) -> Iterator[Write]:
    """Write one line of text per item; see `open_writer`."""

    def put(text: str) -> None:
        content = memoryview(text.encode())
        while content:
            content = content[file.write(content) :]

    def write(predictions: Sequence[Prediction]) -> None:
        records = (record(x, outputs, top) for x in predictions)
        put("".join(lines.line(x, outputs, top) for x in records))

    with open(path, "wb" if resumed is None else "r+b", buffering=0) as file:
        if resumed is None:
            put(lines.head(outputs, top))
        else:
            file.truncate(resumed)
            file.seek(resumed)
        yield write


@dataclass(frozen=True)
class Resumed:
    """What a file has of an interrupted run.

    Args:
        items: the number of items whose results it has.
        length: the number of bytes to keep; `None`: it begins anew.
        failed: how many of these items failed.
        error: the error of the first one of these.
        last: the last batch of these, with their lines.
    """

    items: int = 0
    length: int | None = None
    failed: int = 0
    error: str | None = None
    last: Sequence[tuple[Item, str]] = ()


def resume(
    path: Path,
    items: Iterator[Item],
    outputs: Sequence[TensorSpec],
    top: int,
    size: int,
) -> Resumed:
    """Advance `items` past those that the file of an interrupted run has.

    What follows the last whole batch, of `size` items, is computed again, so
    that each item is in a batch with the same others, and each number has the
    same bits.

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
        last: deque[tuple[Item, str]] = deque(maxlen=size)
        file.seek(length := len(expected))
        for number in range(rows):
            content = file.readline()
            try:
                line = content.decode()
                name, error = lines.name_and_error(line)
            except (
                ValueError,
                LookupError,
                TypeError,
                RecursionError,
            ) as problem:
                raise _other_row(path, number, "a result") from problem
            if number >= kept:
                continue
            length = file.tell()
            item = next(items, None)
            if item is None or item.name != name:
                found_name = "no more inputs" if item is None else item.name
                raise _other_row(path, number, found_name)
            failed += bool(error)
            first = first or error
            last.append((item, line))
        return Resumed(kept, length, failed, first or None, last)


def check_resumed(
    path: Path, done: Resumed, pipeline: Pipeline, top: int
) -> None:
    """Raise RequestError if a file has the results of something else.

    The last batch that it has is computed again, and most of its lines must
    be the same. A few are not, if classes have nearly equal scores.
    """
    outputs, line = pipeline.outputs, LINES[path.suffix].line
    items, before = zip(*done.last, strict=True) if done.last else ((), ())
    silent = replace(pipeline, ranges={})  # the other items are as unlike
    found = [x for batch in silent(items) for x in batch]
    now = [line(record(x, outputs, top), outputs, top) for x in found]
    if 2 * sum(map(_same, before, now)) < len(now):
        raise RequestError(
            f"{path} cannot be continued: this artifact, with these options, "
            "has other results for its last rows; write another file"
        )


def _same(one: str, other: str) -> bool:
    """Return whether two lines differ by no more than rounding."""
    first, second = (NUMBER.findall(line) for line in (one, other))
    return NUMBER.sub("", one) == NUMBER.sub("", other) and all(
        math.isclose(float(x), float(y), **CLOSE)
        for x, y in zip(first, second, strict=True)
    )


def _other_row(path: Path, number: int, expected: str) -> RequestError:
    return RequestError(
        f"{path} cannot be continued: its row {number + 1} is not that of "
        f"{expected}; the inputs changed, so write another file"
    )
