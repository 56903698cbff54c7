"""The exceptions of the exporter, each with the command's exit code.

Any other exception is an error of the program itself.
"""

import contextlib
import difflib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

INTERNAL_EXIT_CODE = 70
"""Exit code after an error of the program itself: EX_SOFTWARE of sysexits.h."""


class ExportError(Exception):
    """Base class of every error this package raises on purpose.

    The message is one line: what happened, what was expected, what to do.
    """

    exit_code = 2


class RequestError(ExportError):
    """The request or the input is wrong; nothing was written."""


class ConversionError(ExportError):
    """The model contains something that the format cannot express."""


class RuntimeMissingError(ExportError):
    """The runtime that opens this artifact is not installed."""


class InputError(ExportError):
    """Some of many inputs cannot be used; there are results for the others."""

    exit_code = 1


class ArtifactError(ExportError):
    """An artifact is damaged or does not compute what the model computes."""

    exit_code = 1


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Raise a failure to write as a RequestError that names the path.

    Args:
        path: the file or folder that is written.

    Raises:
        RequestError: if the disk is full, or `path` is not writable.
    """
    try:
        yield
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {error.strerror or error}"
        ) from error


def check_regular(path: Path) -> None:
    """Raise RequestError unless a path is a regular file or a folder.

    Reading a pipe or a device may never end.
    """
    if not path.exists():
        raise RequestError(f"{path} does not exist")
    if not path.is_file() and not path.is_dir():
        raise RequestError(
            f"{path} is a pipe, a socket or a device; expected a regular file "
            "or a folder; write its content to a file"
        )


def check_choice(role: str, name: str, choices: Collection[str]) -> None:
    """Raise RequestError, with the closest choice, for an unknown name.

    Args:
        role: what the name is for, such as "format".
        name: the name to check.
        choices: the known names.
    """
    if name in choices:
        return
    closest = difflib.get_close_matches(str(name), choices, 1)
    hint = f'did you mean "{closest[0]}"? ' if closest else ""
    raise RequestError(
        f'{role} "{name}" is unknown; {hint}choose from {", ".join(choices)}'
    )


def reason_of(error: BaseException) -> str:
    """Return the line of another library's error message that says why.

    Keras puts the reason in colour codes, between a heading and the arguments
    of the call. The layer that failed is named if the model was run by
    `InferenceModel.call`.
    """
    coloured = re.search(r"\x1b\[1m(.*?)\x1b\[0m", str(error), re.DOTALL)
    text = coloured.group(1) if coloured else str(error)
    reason = text.strip().partition("\n")[0] or type(error).__name__
    layer = getattr(error, "layer", None)
    return f"the layer {layer}: {reason}" if layer else reason
