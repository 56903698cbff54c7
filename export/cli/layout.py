"""Fit text and tables to the width of the terminal.

What goes to a file or a pipe is neither shortened nor wrapped.
"""

import functools
import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

from keras_inception_export.logs import printable

ROOMY, TIGHT = 24, 10
"""Names are first shortened to this width, then to that one."""

Row = Sequence[str] | str
"""The cells of a row, or a text between the rows."""

_LABEL = re.compile(r" *\S+(?: \S+)* {2,}|[ ✗~]*")


def width() -> int | None:
    """Return the columns of the terminal; `None` if there is none."""
    return terminal_width() if sys.stdout.isatty() else None


def terminal_width() -> int:
    """Return the columns of the terminal, or as many as it would have."""
    return max(shutil.get_terminal_size().columns, 20)


def joined(lines: Iterable[str]) -> str:
    """Return lines as one text, wrapped below their second column."""
    room = width()
    return "\n".join(
        part
        for line in map(printable, lines)
        for part in (_wrapped(line, room) if room else (line,))
    )


def _wrapped(line: str, room: int) -> Sequence[str]:
    """Break a line; a few words between two spaces stay together."""
    if columns(line) <= room:
        return (line,)
    label = _LABEL.match(line)
    indent = min(len(label.group()) if label else 0, room // 3)
    glued = re.sub(
        r"(?<= {2})\S+(?: \S+){1,2}(?= {2}|$)",
        lambda x: x[0].replace(" ", "\0"),
        line,
    )
    wrapped = at_words(glued, room, subsequent_indent=" " * indent)
    return [part.replace("\0", " ") for part in wrapped]


at_words = functools.partial(
    textwrap.wrap, break_long_words=False, break_on_hyphens=False
)
"""Break a text between words, so that a path in it can be copied."""


def fitted(name: str, part: float) -> str:
    """Return a name that takes at most this part of the terminal's width."""
    room = width()
    name = printable(name)
    return shortened(name, max(int(room * part), TIGHT)) if room else name


def shortened(text: str, room: int) -> str:
    """Return a text without its middle if it needs more columns."""
    if columns(text) <= room:
        return text
    head, tail = text[: (room + 1) // 2], text[len(text) - room // 2 :]
    while head and columns(head) + columns(tail) + 1 > room:
        head, tail = (
            (head[:-1], tail) if len(head) > len(tail) else (head, tail[1:])
        )
    return f"{head}…{tail}"


def columns(text: str) -> int:
    """Return how many columns a terminal needs for a text."""
    return sum(
        0
        if unicodedata.combining(x)
        else 1 + (unicodedata.east_asian_width(x) in "WF")
        for x in text
    )


def grid(rows: Sequence[Row], align: str) -> list[str]:
    """Return the lines of a table that fits the terminal.

    Where it is too narrow, names lose their middle, then columns go that are
    empty or optional; if that is not enough, each row is shown as a list.

    Args:
        rows: the heads, then the cells of each row. A text stands as it is
            between the rows.
        align: per column, `<` or `>` for its alignment, `~` for a name on the
            left, which may be shortened, or `?` for an optional column.
    """
    room, gap = width(), 2
    cells = [
        row if isinstance(row, str) else [printable(cell) for cell in row]
        for row in rows
    ]
    table = [row for row in cells if not isinstance(row, str)]
    widths = [max(map(columns, column)) for column in zip(*table, strict=True)]
    kept = [i for i, number in enumerate(widths) if number]

    def excess() -> int:
        spaces = gap * (len(kept) - 1)
        return sum(widths[i] for i in kept) + spaces - (room or 0)

    def shorten(minimum: int) -> None:
        names = [i for i in kept if align[i] == "~"]
        while names and excess() > 0:
            longest = max(names, key=lambda i: widths[i])
            if widths[longest] <= minimum:
                break
            widths[longest] -= 1

    if room and excess() > 0:
        empty = {
            i for i in kept[1:] if all(row[i] in ("", "-") for row in table[1:])
        }
        kept = [i for i in kept if i not in empty]
        shorten(ROOMY)
        if excess() > 0:
            kept = [i for i in kept if align[i] != "?"]
            gap = 1
            shorten(TIGHT)
        if excess() > 0:
            return _lists(cells, room)
    return [
        row
        if isinstance(row, str)
        else (" " * gap)
        .join(padded(row[i], widths[i], align[i]) for i in kept)
        .rstrip()
        for row in cells
    ]


def padded(text: str, room: int, align: str = "<") -> str:
    """Return a text that takes all columns of a room."""
    text = shortened(text, room)
    space = " " * (room - columns(text))
    return space + text if align == ">" else text + space


def _lists(cells: Sequence[Row], room: int) -> list[str]:
    """Return each row as a list of what its cells are."""
    heads, *rows = cells
    indent = max(map(columns, heads)) + 4
    lines: list[str] = []
    for row in rows:
        if isinstance(row, str):
            lines.append(row)
            continue
        title = next((i for i, head in enumerate(heads) if head), 0)
        start = " ".join(x for x in row[: title + 1] if x)
        if start:
            lines.append(shortened(start, room))
        for head, text in list(zip(heads, row, strict=True))[title + 1 :]:
            if text in ("", "-"):
                continue
            if head:
                text = shortened(text, room - indent)
                lines.append(f"  {head:<{indent - 4}}  {text}")
            else:  # it belongs to the column before
                lines[-1] += f" {text}"
    return lines
