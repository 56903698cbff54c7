"""Show what a long command is doing.

On a terminal, the stage that is running has a spinner and its time, and those
that are done stand above it with their seconds. Elsewhere, each record of the
logger is a line.
"""

import contextlib
import os
import re
import stat
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from keras_inception_export.cli import tables
from keras_inception_export.cli.layout import TIGHT, columns, joined, shortened
from keras_inception_export.cli.output import (
    make_console,
    print_styled,
    write,
)
from keras_inception_export.logs import printable, progress_to

FACTS = {
    "Model": "Prepare  the inference model",
    "Coverage": "Record  the outputs of the layers",
    **dict.fromkeys(("Preprocessing", "Classes", "Note", "Warning"), ""),
}
"""The first words of records that are no stages, and the stages after them."""

LABEL, WIDTH = 13, 88
"""The columns of the first word, and of a whole line."""

_COUNTED = re.compile(r"(\d+) of (\d+)(?=: )")


@contextlib.contextmanager
def stages(arguments: Any, first: str) -> Iterator[None]:
    """Show the records that the logger gets; before the first, `first` runs."""
    show = None if arguments.json else tables.progress
    # The lines of `| tee` would be written into the spinner's.
    alone = arguments.json or sys.stdout.isatty()
    live = _live(arguments.terminal) if alone else None
    if live:
        live.start(first)
        show = live.record
    with live or contextlib.nullcontext(), progress_to(show):
        yield


@contextlib.contextmanager
def counted(
    arguments: Any,
    name: str,
    unit: str,
    count: Callable[[], int | None],
    *,
    done: int,
) -> Iterator[Callable[[int], None]]:
    """Yield a function that advances a bar, if there is a terminal.

    What is printed meanwhile stands above the bar. `count` returns how many of
    the unit there are, if that is known; some are done already.
    """

    def warn(line: str) -> None:
        line = printable(f"keras-inception: {line}")
        if live is None:
            write(line, arguments.terminal)
        else:
            live.print(line)

    shown_in = sys.stdout if not (arguments.json or arguments.output) else None
    live = None if _is_pipe(shown_in) else _live(arguments.terminal)
    if live:
        live.start(name, total=count(), done=done, unit=unit)
    with progress_to(warn), live or contextlib.nullcontext():
        yield live.advance if live else lambda number: None


def _live(terminal: TextIO) -> "_Stages | None":
    console = make_console(terminal)
    return None if console is None else _Stages(console)


def _is_pipe(file: Any) -> bool:
    """Return whether what a file gets may be shown on the same terminal."""
    try:
        return file and stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError):  # not a file of the system
        return False


class _Stages(contextlib.AbstractContextManager):
    """The running stage as the last line of a terminal, which is rich's."""

    def __init__(self, console: Any) -> None:
        from rich.live import Live

        self._console = console
        self._ascii = not console.encoding.lower().startswith("utf")
        self._label, self._unit = "", ""
        self._total: int | None = None
        self._begin, self._count, self._skipped = 0.0, 0, 0
        self._live = Live(
            console=console,
            get_renderable=self._line,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=False,
        )

    def __enter__(self):
        self._live.start()
        return self

    def __exit__(self, kind, *_) -> None:
        self._finish("✗" if kind else "✓")
        self._label = ""
        self._live.stop()

    def start(
        self,
        label: str,
        total: int | None = None,
        done: int = 0,
        unit: str = "",
    ) -> None:
        """Show a stage."""
        self._label, self._unit = printable(label), unit
        self._begin = time.monotonic()
        self._total, self._count, self._skipped = total, done, done

    def advance(self, number: int) -> None:
        """Count what is done of the running stage."""
        self._count += number

    def record(self, line: str) -> None:
        """Show a record of the logger."""
        line = printable(line)
        kind, _, text = line.partition("  ")
        if kind in FACTS:
            if FACTS[kind]:
                self._finish("✓")
                self.start(FACTS[kind])
            self.print(joined([f"  {_aligned(line, self._console.width)}"]))
            return
        counted = _COUNTED.match(text)
        if not counted or not self._label.startswith(f"{kind}  "):
            self._finish("✓")
            self.start(line)
        if counted:
            number, total = map(int, counted.groups())
            self._label, self._total, self._count = line, total, number - 1

    def print(self, text: str) -> None:
        """Print a text above the running stage."""
        print_styled(text, self._console)

    def _finish(self, sign: str) -> None:
        if self._label:
            label = _aligned(self._label, self._console.width)
            self.print(f"{sign} {self._with_end(label)}")

    def _with_end(self, text: str) -> str:
        """Return a text, and at the right how many are done in which time."""
        room = min(self._console.width, WIDTH) - 2
        end = f"{self._amount()}{self._seconds():6.1f} s"
        text = shortened(text, max(room - len(end) - 1, TIGHT))
        return f"{text}{end:>{room - columns(text)}}"

    def _seconds(self) -> float:
        return time.monotonic() - self._begin

    def _amount(self) -> str:
        if not self._unit:
            return ""
        total = "" if self._total is None else f"/{self._total:,}"
        speed = (self._count - self._skipped) / max(self._seconds(), 1e-3)
        return f"  {self._count:,}{total}  {speed:,.0f} {self._unit}/s"

    def _line(self) -> Any:
        """Return the line of the running stage."""
        from rich.text import Text

        if not self._label:
            return Text("")
        frames = "-\\|/" if self._ascii else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        spinner = frames[int(self._seconds() * 10) % len(frames)]
        label, bar = _aligned(self._label, self._console.width), ""
        space = min(self._console.width, WIDTH) - len(self._amount()) - 14
        if self._total and space - columns(label) >= 6:
            wide = min(30, space - columns(label))
            full = round(wide * min(self._count / self._total, 1))
            done, left = ("#", ".") if self._ascii else ("━", "─")
            bar = f"{done * full}{left * (wide - full)}"
            label += f"  {bar}"
        text = Text(f"{spinner} {self._with_end(label)}", no_wrap=True)
        text.stylize("cyan", 0, 1)
        text.highlight_regex("━+|#+$", "green")
        text.highlight_regex(r"─+|\S+ s$", "dim")
        return text


def _aligned(line: str, room: int) -> str:
    """Return a record whose texts stand below each other."""
    kind, gap, text = line.partition("  ")
    return f"{kind:<{min(LABEL, room // 5)}}  {text}" if gap else kind
