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


REASONS = (
    r"\x1b\[1m(.*?)\x1b\[0m",  # Keras: a layer's call
    r"^.*Exception encountered: (.*)",  # Keras: from_config
    r"^.*Example error message for object [^\n]*:\s*(.*)",  # Keras: weights
    r"^in user code:.*\n {4}\w+(?:Error|Exception): (.*)",  # tf.function
    r"^Graph execution error:.*\nNode: [^\n]*\n(.*)",  # TensorFlow
    r"^[^\n]*Error encountered:\s*\n(.*)",  # Keras: a layer's output shape
    r"^Exception from [^\n]*:\n(.*)",  # OpenVINO: a stack
)
"""Where libraries put the reason of an error, each as its only group."""

_AROUND = re.compile(
    r"^(?:\{\{.*?\}\}\s*)+|\s*\[\[\{\{.*?\]\]|\s*\[Op:\w*\].*|"
    r"\s*(?:Full object config|Target variable): .*",
    re.DOTALL,
)
"""What is put around a reason: TensorFlow's nodes, Keras's configs."""

EXHAUSTED = {
    r"No space left on device|Disk quota exceeded": "the disk is full, or has "
    "no free inodes ({}); free some",
    r"Too many open files": "the limit of open files is reached ({}); raise it "
    "(ulimit -n)",
    r"can't start new thread|Resource temporarily unavailable": "the limit of "
    "processes and threads is reached ({}); raise it (ulimit -u)",
    r"File too large": "the file exceeds this process's limit of the size of "
    "files ({}); raise the limit",
    r"killed by signal 9\b.*": "a child process was {}",
    r"MemoryError|bad_alloc|cannot allocate memory|failed to allocate|"
    r"OOM when allocating|out of memory|failed to map segment": "memory ran "
    "out ({}); free some, or raise the limit",
}
"""What runs out, by a pattern of the errors that say so."""


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


class TimeLimitError(ArtifactError):
    """An artifact takes longer than the time limit."""


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Raise a failure to write as a RequestError that names the path."""
    try:
        yield
    except OSError as error:
        raise RequestError(
            f"{path} cannot be written: {os_reason(error)}"
        ) from error


def os_reason(error: OSError) -> str:
    """Return why the system refused something."""
    return exhausted(error) or error.strerror or str(error)


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

    `role` is what the name is for, such as "format".
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

    Keras puts it in colour codes or after a heading, TensorFlow after the
    lines of a stack. The layer that failed is named if the model was run by
    `InferenceModel.call`.
    """
    text = str(error).strip()
    for pattern in REASONS:
        while found := re.search(pattern, text, re.DOTALL):
            text = found.group(1).strip()
    text = _AROUND.sub("", text).strip()
    reason = text.partition("\n")[0].strip() or type(error).__name__
    if isinstance(error, LookupError):  # its message is the missing key
        reason = f"{type(error).__name__} {reason}"
    layer = getattr(error, "layer", None)
    return f"the layer {layer}: {reason}" if layer else reason


def exhausted(error: BaseException) -> str:
    """Return what ran out or is not installed, if that is the cause, else "".

    Libraries raise any class when the disk is full or memory runs out.
    """
    name = getattr(error, "name", None) or ""
    if isinstance(error, ModuleNotFoundError) and name.split(".")[0] not in (
        "",
        "keras_inception_export",
    ):
        return (
            f"the package {name.split('.')[0]} is not installed; pip install "
            "it, or 'keras-inception-layers[export]' for everything"
        )
    for cause in _causes(error):
        text = f"{type(cause).__name__}: {cause}"
        for pattern, what in EXHAUSTED.items():
            if found := re.search(pattern, text, re.IGNORECASE):
                return what.format(found.group())
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it, each once."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or error.__context__


def missing(what: str, package: str, error: ImportError) -> ExportError:
    """Return the error for a package that cannot be imported, with the cause.

    `what` needs the package, such as the path of an artifact.

    Raises:
        KeyboardInterrupt: if that is what ended the import. Native modules
            turn it into an ImportError.
    """
    for cause in _causes(error):
        if isinstance(cause, KeyboardInterrupt):
            raise cause
    module = package.replace("-", "_")
    name = error.name or ""
    if isinstance(error, ModuleNotFoundError) and name.split(".")[0] == module:
        reason = f"which is not installed; pip install {package}"
    else:
        why = exhausted(error) or f"{reason_of(error)}; install it anew"
        reason = f"which cannot be imported: {why}"
    return RuntimeMissingError(f"{what} needs {package}, {reason}")
