"""The logger `keras_inception_export`, which reports progress.

Each step of a long command is one record of level INFO, so that users of the
library can route it like other logs.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence

logger = logging.getLogger("keras_inception_export")


@contextlib.contextmanager
def progress_to(callback: Callable[[str], None] | None) -> Iterator[None]:
    """Call `callback`, if any, with every record's text in a `with` block."""
    if callback is None:
        yield
        return
    handler = Callback(lambda level, text: callback(text))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    # Libraries configure the root logger, unless the user has done so, and it
    # would show each line again.
    logger.propagate = propagate and logging.root.hasHandlers()
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def size(number: float) -> str:
    """Return a number of bytes with a unit."""
    units = iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while number >= 1000 and unit != "GB":
        number, unit = number / 1000, next(units)
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:.1f} {unit}"


def printable(line: str) -> str:
    """Return a line in which control characters are shown as escapes.

    Names come from models and files, and could write anything to a terminal.
    """
    if line.isprintable():
        return line
    return "".join(
        x if x.isprintable() else x.encode("unicode_escape").decode()
        for x in line
    )


class Callback(logging.Handler):
    """Calls a function with each record's level and text."""

    def __init__(self, callback: Callable[[int, str], object]) -> None:
        super().__init__()
        self._callback = callback

    def emit(self, record: logging.LogRecord) -> None:
        """Handle one record."""
        self._callback(record.levelno, record.getMessage())


def first_names(names: Sequence[str]) -> str:
    """Return the first three names, and how many more there are."""
    more = f" and {len(names) - 3} others" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def column_name(column: int | None, axis: int | None) -> str:
    """Return the name of an index of an axis; `None` is the last axis."""
    return f"column {column}" + ("" if axis is None else f" of axis {axis}")
