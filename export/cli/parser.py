"""The parser of the arguments that are listed in `cli/help.py`."""

import argparse
import difflib
import os
import re
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from typing import Any, NoReturn

from keras_inception_export.cli.help import (
    DESCRIPTION,
    EXAMPLES,
    OUTPUT,
    PAGES,
    SECTIONS,
)
from keras_inception_export.cli.layout import at_words, terminal_width
from keras_inception_export.cli.output import (
    COMMAND,
    Outcome,
    print_error,
    print_json,
)
from keras_inception_export.errors import RequestError, check_choice
from keras_inception_export.formats.registry import FORMATS, SCHEMES
from keras_inception_export.model.networks import NETWORKS

WORDS: dict[str, Collection[str]] = {
    "NETWORK": NETWORKS,
    "FORMAT": FORMATS,
    "SCHEME": SCHEMES,
    "PRESET": ("none", "unit", "tf", "torch", "caffe"),
    "DTYPE": ("int8", "uint8"),
    "ENGINE": ("local", "ray"),
    "LANGUAGE": ("python", "javascript", "cpp"),
    "SHELL": ("bash", "zsh", "fish"),
    "COMMAND": PAGES,
}
"""What a shell completes, by what an argument takes."""

FOLDERS = ("DIR", "BUNDLE")
FILES = ("FILE", "MODEL.keras", "ARTIFACT_OR_BUNDLE", "INPUT")

DESTINATIONS = {
    "MODEL.keras": "model_file",
    "BUNDLE": "bundle",
    "ARTIFACT_OR_BUNDLE": "artifact",
    "INPUT": "inputs",
    "FORMAT,...": "formats",
    "FILE_OR_DIR": "path",
    "SHELL": "shell",
    "COMMAND": "topic",
    "--import": "imports",
}
"""The names of values that are not called like their argument."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with the closest known word."""

    commands: Any = None

    def __init__(self, **options):
        super().__init__(formatter_class=_Formatter, **options)
        self._words: list[str] = []

    def parse_known_args(self, args=None, namespace=None):
        """Check what may be misspelled before what is missing."""
        self._words = list(sys.argv[1:] if args is None else args)
        self._check_words()
        return super().parse_known_args(self._words, namespace)

    def _check_words(self) -> None:
        known = self._option_string_actions
        for word in self._words:
            if word == "--":
                return
            name = word.partition("=")[0]
            if re.match(r"--?[^-\d\s.]\S*$", name) and " " not in word:
                if not any(x.startswith(name) for x in known):
                    wanted = "--" + name.strip("-").replace("_", "-").lower()
                    similar = difflib.get_close_matches(wanted, known, 1)
                    hint = f'; did you mean "{similar[0]}"?' if similar else ""
                    self.error(f'option "{name}" is unknown{hint}')
            elif self.commands is not None:
                try:
                    check_choice("command", word, self.commands.choices)
                except RequestError as error:
                    self.error(str(error))
                return

    def error(self, message: str) -> NoReturn:
        """Print one line, and end with exit code 2."""
        message = re.sub(r"^argument (?=\S+: )", "", message)
        message += "" if message.endswith("?") else ";"
        hint = f"see {self.prog} --help"
        code = RequestError.exit_code
        print_error(message, sys.stderr, hint)
        if "--json" in self._words:
            name = self.prog.removeprefix(COMMAND).strip()
            error = {"kind": "UsageError", "message": f"{message} {hint}"}
            try:
                print_json(name, Outcome(), code=code, error=error)
            except OSError:  # Python would try again at its end
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(code)


def make_parser() -> Parser:
    """Return the parser; its result names the subcommand in `command`."""
    parser = Parser(
        prog=COMMAND,
        usage=f"{COMMAND} COMMAND [OPTION ...]",
        description=DESCRIPTION,
    )
    parser.commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="command", prog=COMMAND
    )
    parser.commands.help = argparse.SUPPRESS  # the section says more
    for name, page in PAGES.items():
        command = parser.commands.add_parser(
            name,
            help=page.summary,
            usage=f"{COMMAND} {name} {page.usage}",
            description=page.description,
        )
        for heading, lines in {**page.arguments, "output": OUTPUT}.items():
            title, _, description = heading.partition(": ")
            group = command.add_argument_group(title, description or None)
            target = group
            if "|" in lines:
                target = group.add_mutually_exclusive_group(required=True)
            for head, text in entries(lines):
                _add(target if "|" in head else group, head, text)
        _add_sections(command, page.examples, page.files)
    summaries = [f"{name}  {page.summary}" for name, page in PAGES.items()]
    _add_sections(parser, EXAMPLES, commands="\n".join(summaries))
    return parser


def entries(lines: str) -> Iterator[list[str]]:
    """Yield the two parts of each line; a line may go on in indented ones."""
    for entry in re.split(r"\n(?=\S)", lines.strip()):
        yield [" ".join(part.split()) for part in entry.split("  ", 1)]


def _add(group: Any, head: str, text: str) -> None:
    """Add an argument, such as `--top N=3`, `INPUT+` or `MODEL.keras?|`."""
    found = re.fullmatch(r"(--\S+)? ?([^=?+!|]*)=?([^?+!|]*)([?+!|]*)", head)
    option, takes, default, marks = found.groups() if found else [""] * 4
    destination = DESTINATIONS.get(option) or DESTINATIONS.get(takes)
    options: dict[str, Any] = {"help": text}
    if not takes:
        options["action"] = "store_true"
    else:
        convert = TYPES.get(takes, str)
        options |= {"metavar": takes, "type": convert}
        options |= {"default": convert(default)} if default else {}
    if takes.endswith(",..."):
        options |= {"action": "extend", "type": lambda text: text.split(",")}
    if takes == "MODULE":
        options |= {"action": "append", "default": []}
    if "!" in marks:
        options["required"] = True
    if count := re.search(r"[?+]", marks):
        options["nargs"] = count.group()
    if option and destination:
        options["dest"] = destination
    action = group.add_argument(option or destination, **options)
    bare = takes.removesuffix(",...")
    action.words = WORDS.get(bare, ())
    action.folder = bare in FOLDERS
    action.file = bare.startswith(FILES)


def _add_sections(
    parser: Parser, examples: str, files: str = "", commands: str = ""
) -> None:
    """Add the sections that are no arguments."""
    lines = [f"{COMMAND} {line}" for line in examples.split("\n") if line]
    texts = {"commands": commands, "examples": "\n".join(lines), **SECTIONS}
    for title, text in {**texts, "files": files}.items():
        if text:
            parser.add_argument_group(title, text.strip())


class _Formatter(argparse.HelpFormatter):
    """Fits the terminal, and keeps the lines of the sections."""

    def __init__(self, prog: str, **options) -> None:
        columns = min(terminal_width(), 100)
        options |= {"max_help_position": 26 if columns >= 60 else 8}
        super().__init__(prog, **{**options, "width": columns - 1})

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = [line.partition("  ")[::2] for line in text.splitlines()]
        room = max((len(x) + 2 for x, more in parts if more), default=0)
        room = room if room <= self._max_help_position + 8 else 4
        lines = []
        for name, more in parts:
            is_example = name.startswith(f"{COMMAND} ")
            wrapped = at_words(
                f"{name:<{room - 2}}  {more}" if more else name,
                max(self._width - 2 * is_example, 12),
                initial_indent=indent,
                subsequent_indent=indent + " " * (4 if is_example else room),
            )
            lines.append((" \\\n" if is_example else "\n").join(wrapped))
        return "\n".join(lines)


def _reader(read: Callable[[str], Any], expected: str) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        try:
            return read(text)
        except (ValueError, ArithmeticError):
            raise argparse.ArgumentTypeError(
                f"got {text}, expected {expected}"
            ) from None

    return convert


_number = _reader(
    lambda text: float(Fraction(text)), "a number such as 1/255 or 0.99"
)
TYPES: dict[str, Any] = {
    "N": _reader(int, "a whole number"),
    "FRACTION": _number,
    "FACTOR": _number,
}
"""What reads an argument, by what it takes; otherwise it is a text."""
