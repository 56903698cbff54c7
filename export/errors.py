"""The errors of the export, each with the exit code the command gives it.

What is not an `ExportError` is an error of the program itself.
"""

import contextlib
import difflib
import re
from collections.abc import Collection

INTERNAL_EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h."""


class ExportError(Exception):
    """Base class of every error this package raises on purpose.

    The message is one line: what was received, what was expected, what to do.
    """

    exit_code = 2


class RequestError(ExportError):
    """The request or the input is wrong; nothing was written."""


class ConversionError(ExportError):
    """The model holds something that the format cannot express."""


class RuntimeMissingError(ExportError):
    """The runtime that opens this artifact is not installed."""


class ArtifactError(ExportError):
    """An artifact is damaged or does not compute what the model computes."""

    exit_code = 1


@contextlib.contextmanager
def writing(path):
    """Say in one line that a file or folder cannot be written.

    Raises:
        RequestError: if the disk is full, or not to be written to.
    """
    try:
        yield
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {error.strerror or error}"
        ) from error


def check_choice(role: str, name: str, choices: Collection[str]) -> None:
    """Raise RequestError, with the nearest choice, for an unknown name."""
    if name in choices:
        return
    near = difflib.get_close_matches(str(name), choices, 1)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    raise RequestError(
        f'{role} "{name}" is unknown; {hint}choose from {", ".join(choices)}'
    )


def reason_of(error: BaseException) -> str:
    """Take the one telling line of another library's message.

    Keras wraps what went wrong in colour codes, between a heading and the
    arguments of the call.
    """
    coloured = re.search(r"\x1b\[1m(.*?)\x1b\[0m", str(error), re.DOTALL)
    text = coloured.group(1) if coloured else str(error)
    return text.strip().partition("\n")[0] or type(error).__name__
