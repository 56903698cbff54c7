"""What a command prints: its result, an error, and the next command.

The text of a result goes to the standard output, everything else to the
standard error. With `--json` the standard output is one JSON document; its
schema is in `cli/schema.py`.
"""

import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from keras_inception_export.cli.layout import at_words, terminal_width
from keras_inception_export.errors import ExportError
from keras_inception_export.logs import printable

VERSION = 1
"""The version of the schema of what `--json` prints."""

COMMAND = "keras-inception"

STYLES = {
    r"(?m)^ *✓": "green",
    r"(?m)^ *✗.*": "red",
    r"(?m)^(?: *~|Warning\b.*)": "yellow",
    r"(?m)^Next: .*| +[\d.]+ s$": "dim",
    rf"^{COMMAND}: ": "bold red",
    r"(?s)did\s+you\s+mean\s+\S+": "bold",
    r"see keras-inception .*--help": "dim",
}
"""The style of what matches a pattern, on a terminal with colors."""


ASCII = str.maketrans({"✓": "+", "✗": "x", "…": "~", "█": "#", "±": "+-"})
"""What is shown where the encoding has no such signs."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command.

    Args:
        result: what `--json` prints. Defaults to `None`.
        text: returns what is printed otherwise. Defaults to `None`: nothing
            more is printed.
        error: what failed although there is a result. Defaults to `None`.
        told: whether the text says what failed. Defaults to `False`.
        next: the words of the command to type next, if there is one.
    """

    result: Any = None
    text: Callable[[], str] | None = None
    error: ExportError | None = None
    told: bool = False
    next: Sequence[Any] = ()


def print_next(arguments: Any, outcome: Outcome) -> None:
    """Print the next command, for who reads it on a terminal."""
    terminal = arguments.terminal
    if outcome.next and not arguments.json and terminal.isatty():
        write(printable(f"Next: {command_line(outcome.next)}"), terminal)


def print_json(
    command: str,
    outcome: Outcome,
    *,
    code: int = 0,
    error: dict[str, str] | None = None,
) -> None:
    """Print the document of `--json`; the command is "" if there is none."""
    document = {
        "schema_version": VERSION,
        "command": command or None,
        "ok": code == 0,
        "exit_code": code,
        "result": outcome.result,
        "error": error,
        "next": command_line(outcome.next) if outcome.next else None,
    }
    try:
        text = json.dumps(document, indent=2, allow_nan=False)
    except ValueError:  # JSON has no infinity
        finite = json.loads(
            json.dumps(document), parse_constant=lambda name: None
        )
        text = json.dumps(finite, indent=2)
    print(text, flush=True)


def print_error(message: str, file: TextIO, hint: str = "") -> None:
    """Print an error as one line, which a terminal breaks at words."""
    line = printable(f"{COMMAND}: {' '.join(message.split())}")
    if not file.isatty():
        write(f"{line} {hint}".rstrip(), file)
        return
    lines = at_words(line, terminal_width())
    write("\n".join([*lines, *filter(None, [hint])]), file)


def restore(terminal: TextIO) -> None:
    """Remove the line of a stage whose process was killed."""
    if is_live(terminal):
        print("\r\x1b[2K\x1b[?25h", end="", file=terminal, flush=True)


def command_line(words: Sequence[Any]) -> str:
    """Return a command as it is typed."""
    return shlex.join([COMMAND, *map(str, words)])


def is_live(file: TextIO) -> bool:
    """Return whether a file is a terminal on which text can be replaced."""
    unset = "" if os.name == "nt" else "dumb"
    kind = os.environ.get("TERM", unset)
    return file.isatty() and kind not in ("dumb", "unknown")


def write(text: str, file: TextIO) -> None:
    """Print a text, with colors on a terminal that has them."""
    written = getattr(file, "rich_proxied_file", file)  # by a live progress
    encoding = getattr(written, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(ASCII).encode(encoding, "replace").decode()
    if console := make_console(file):
        print_styled(text, console)
    else:
        print(text, file=file, flush=True)


def print_styled(text: str, console: Any) -> None:
    """Print a text on rich's console."""
    from rich.text import Text

    styled = Text(text)
    for pattern, style in STYLES.items():
        styled.highlight_regex(pattern, style)
    console.print(styled, soft_wrap=True)


def make_console(file: TextIO) -> Any:
    """Return rich's console for a terminal; `None` if there is none."""
    if not is_live(file):
        return None
    try:
        from rich.console import Console
    except ImportError:  # a device with nothing but a runtime
        return None
    return Console(
        file=file,
        force_terminal=True,
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        markup=False,
        emoji=False,
        highlight=False,
    )
