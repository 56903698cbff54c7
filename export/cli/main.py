"""The command `keras-inception`: run a subcommand and print its result."""

import contextlib
import functools
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from keras_inception_export import errors
from keras_inception_export.bundle.publication import remove_leftovers
from keras_inception_export.cli import output, supervision
from keras_inception_export.cli.commands import COMMANDS
from keras_inception_export.cli.parser import make_parser
from keras_inception_export.time_limit import limit

PIPE_EXIT_CODE = 141
"""Exit code if what reads the output has ended, as a shell reports it."""


def main(words=None) -> int:
    """Run the command and return its exit code, which its help explains.

    Args:
        words: the arguments. Defaults to `None`: those of this process, and
            a child process does the work, so that this one can report
            whatever ends it.
    """
    if words is not None or not hasattr(os, "fork"):
        return _run(make_parser().parse_args(words))
    supervision.open_standard_streams()
    with supervision.deferred_signals() as signals:
        arguments = make_parser().parse_args()
        try:
            code, what = supervision.supervise(
                functools.partial(_run, arguments),
                functools.partial(_clean, arguments),
                signals,
            )
        except OSError as error:
            code = errors.RequestError.exit_code
            what = f"no process can be started: {errors.os_reason(error)}"
        if what:
            arguments.terminal = sys.stderr
            output.restore(sys.stderr)
            _fail(arguments, output.Outcome(), code, "Stopped", what)
        return code


def _run(arguments) -> int:
    """Run a subcommand; print its result, and an error as one line."""
    code, before = errors.RequestError.exit_code, dict(os.environ)
    quiet = contextlib.nullcontext(sys.stderr) if arguments.debug else _quiet()
    # The standard error may not be writable.
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        arguments.terminal = sys.stderr
        try:
            arguments.terminal = stack.enter_context(quiet)
        except OSError as error:  # the limit of open files
            return _fail(
                arguments, output.Outcome(), *_explained(error, arguments)
            )
        try:
            code = _run_and_print(arguments)
        except BrokenPipeError:  # `head`, say, has read enough
            code = PIPE_EXIT_CODE
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:  # subcommands set variables
            os.environ.clear()
            os.environ.update(before)
    return code


def _run_and_print(arguments) -> int:
    outcome = output.Outcome()
    try:
        limit()  # a wrong environment variable is no fault of an artifact
        outcome = COMMANDS[arguments.command](arguments)
        if outcome.text and not arguments.json:
            output.write(outcome.text(), sys.stdout)
        sys.stdout.flush()
        if outcome.error:
            raise outcome.error
        if arguments.json:
            output.print_json(arguments.command, outcome)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if arguments.debug and error is not outcome.error:
            traceback.print_exc(file=arguments.terminal)
        if error is not outcome.error:
            outcome = output.Outcome()
        return _fail(arguments, outcome, *_explained(error, arguments))
    output.print_next(arguments, outcome)
    return 0


def _explained(error, arguments) -> tuple[int, str, str]:
    """Return the exit code, the kind and the message of an error."""
    if isinstance(error, KeyboardInterrupt):
        what = supervision.STOPS["SIGINT"] + _clean(arguments)
        return 130, "Stopped", what
    reason = errors.exhausted(error)
    if reason and not (
        isinstance(error, errors.ExportError) and error.exit_code == 2
    ):
        return errors.RequestError.exit_code, "Exhausted", reason
    if isinstance(error, errors.ExportError):
        return error.exit_code, type(error).__name__, str(error)
    if isinstance(error, OSError):
        what = error.filename
        if what is None:
            removed = isinstance(error, FileNotFoundError)
            what = "the current folder" if removed else "a file"
        line = f"{what} cannot be used: {errors.os_reason(error)}"
        return errors.RequestError.exit_code, "RequestError", line
    kind = type(error).__name__
    reason = errors.reason_of(error).removeprefix(f"{kind} ")
    line = f"unexpected {kind}: {reason}; run again with --debug for details"
    return errors.INTERNAL_EXIT_CODE, "InternalError", line


def _fail(arguments, outcome, code, kind, message) -> int:
    """Print what failed, unless the text of the result says it."""
    message = " ".join(message.split())
    with contextlib.suppress(OSError):  # that may be what failed
        if arguments.json or not outcome.told:
            output.print_error(message, arguments.terminal)
        if arguments.json:
            error = {"kind": kind, "message": message}
            output.print_json(
                arguments.command, outcome, code=code, error=error
            )
        output.print_next(arguments, outcome)
    return code


def _clean(arguments) -> str:
    """Remove what is half written; return what to add to the message."""
    output = getattr(arguments, "output", None)
    if output:
        with contextlib.suppress(OSError):
            remove_leftovers(Path(output))
    if arguments.command == "predict" and output:
        from keras_inception_export.prediction.lines import LINES

        if Path(output).suffix in LINES:
            return f"; go on with --output {output} --resume"
    return ""


@contextlib.contextmanager
def _quiet() -> Iterator[TextIO]:
    """Discard what libraries print; yield the original standard error.

    TensorFlow and its converters write to the file descriptor directly.
    """
    sys.stderr.flush()
    descriptor, stderr = os.dup(2), sys.stderr
    try:
        with (
            open(os.devnull, "w") as discarded,
            os.fdopen(os.dup(descriptor), "w", buffering=1) as terminal,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            os.dup2(discarded.fileno(), 2)
            sys.stderr = discarded
            yield terminal
    finally:
        sys.stderr = stderr
        os.dup2(descriptor, 2)
        os.close(descriptor)
