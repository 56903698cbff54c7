"""Run functions of this package in a child process.

A child has its own memory, backend and environment: the memory that a
converter allocates is freed with it, and what it prints does not reach the
terminal.

    with ChildProcess("keras_inception_export.worker") as child:
        child.call("convert", saved_model=folder, output=path)

Each call is a `Request`, one line of JSON on the child's standard input. The
child writes log records and then one `Answer` to its standard output, one JSON
object per line. The parent logs the records again, and raises the exception
that the child raised. A child ends when its parent ends, even if that is killed
while the child is busy.
"""

import contextlib
import ctypes
import importlib
import json
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from keras_inception_export import errors
from keras_inception_export.logs import Callback, logger

_PR_SET_PDEATHSIG = 1
"""From Linux's `prctl.h`: the signal to receive when the parent ends."""


@dataclass(frozen=True)
class Request:
    """One call of a function of the child's target."""

    function: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class LogRecord:
    """A log record of the child, with its formatted message."""

    level: int
    text: str


@dataclass(frozen=True)
class Answer:
    """The result of a call, or the exception that it raised.

    Args:
        result: what the function returned, as JSON.
        error: qualified class name of the exception; `None` if there was none.
        message: text of the exception.
        traceback: where it was raised in the child.
    """

    result: Any = None
    error: str | None = None
    message: str = ""
    traceback: str = ""

    @classmethod
    def of_error(cls, error: Exception) -> "Answer":
        """Return the answer for an exception."""
        kind = type(error)
        return cls(
            error=f"{kind.__module__}.{kind.__qualname__}",
            message=str(error),
            traceback="".join(traceback.format_exception(error)),
        )

    def value(self) -> Any:
        """Return the result, or raise the exception.

        Errors of this package and built-in exceptions keep their class; any
        other becomes a `RuntimeError` that names it, and so does an exception
        that cannot be made from its text alone. The child's traceback is a
        note of the exception.
        """
        if self.error is None:
            return self.result
        module, _, name = self.error.rpartition(".")
        error: Exception = RuntimeError(f"{name}: {self.message}")
        if module in ("builtins", errors.__name__):
            with contextlib.suppress(TypeError):  # it needs more arguments
                kind = getattr(importlib.import_module(module), name)
                error = kind(self.message)
        error.add_note(self.traceback)
        raise error


class ChildProcess(contextlib.AbstractContextManager):
    """A Python process that calls functions on request.

    It ends when this object is closed or collected, or with this process. On
    Linux it also ends with the thread that made this object.

    Args:
        target: the module whose functions are called, or `"module:Class"`:
            then the methods of one instance are called.
        environment: variables to set, in addition to those of this process.
            The child computes on the CPU unless they say otherwise.
    """

    def __init__(
        self,
        target: str,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, target],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            # Ctrl-C is sent to the parent alone, which handles it.
            process_group=0 if os.name == "posix" else None,
        )
        self._finalizer = weakref.finalize(
            self, _end, self._process, self._stderr
        )

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._finalizer()

    def call(self, function: str, **arguments: Any) -> Any:
        """Call a function in the child, and return its result.

        Args:
            function: name of a function of the target.
            **arguments: its keyword arguments: values that JSON can hold,
                paths (they arrive as strings) and NumPy arrays and scalars
                (as lists and numbers). Results are converted in the same way.

        Raises:
            RuntimeError: the child ended without an answer.
            Exception: whatever the function raises.
        """
        line = _encode(Request(function, arguments))
        try:
            answer = self._exchange(line)
        except BaseException:
            # Otherwise a later call would receive the answer to this one.
            self.close()
            raise
        return answer.value()

    def _exchange(self, line: str) -> Answer:
        """Send a request; log the child's records until its answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None or stdin.closed:
            raise RuntimeError(
                "the child process was closed; start another one"
            )
        with contextlib.suppress(BrokenPipeError):  # reported below
            stdin.write(line)
            stdin.flush()
        for answer in stdout:
            facts = json.loads(answer)
            if "level" not in facts:
                return Answer(**facts)
            record = LogRecord(**facts)
            logger.log(record.level, record.text)
        code = self._process.wait()
        how = f"ended with status {code}"
        if code < 0:
            how = f"was {killed_by(-code)}"
        raise RuntimeError(
            f"the child process {how}; the last line of its standard error: "
            f"{self._last_line() or 'none'}"
        )

    def _last_line(self) -> str:
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace")
        return text.strip().rpartition("\n")[2]


def killed_by(number: int) -> str:
    """Describe how a signal ended a process."""
    name = signal.Signals(number).name
    return (
        f"killed by signal {number} ({name}), perhaps because memory or "
        "processor time ran out"
    )


def end_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_AHEAD: ContextVar[dict[str, ChildProcess] | None] = ContextVar(
    "ahead", default=None
)
"""Children that `started_ahead` has started in this thread, by target."""


@contextlib.contextmanager
def started_ahead(targets: Iterable[str]) -> Iterator[None]:
    """Start the children that `run_in_child` will need.

    A child imports its target, which takes seconds with TensorFlow, while this
    process does something else. Those that are not needed end with the block.
    """
    with contextlib.ExitStack() as stack:
        children = {x: stack.enter_context(ChildProcess(x)) for x in targets}
        token = _AHEAD.set(children)
        stack.callback(_AHEAD.reset, token)
        yield


def run_in_child(
    target: str,
    function: str,
    environment: Mapping[str, str] | None = None,
    **arguments: Any,
) -> Any:
    """Call one function in a new child process, and return its result."""
    child = None
    if environment is None:
        child = (_AHEAD.get() or {}).pop(target, None)
    with child or ChildProcess(target, environment or {}) as child:
        return child.call(function, **arguments)


def _end(process: subprocess.Popen, stderr: IO[bytes]) -> None:
    process.kill()
    process.communicate()
    stderr.close()


def _encode(message: Request | LogRecord | Answer) -> str:
    return json.dumps(vars(message), default=_as_json) + "\n"


def _as_json(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # of NumPy, which a child may not need
        return value.tolist()
    raise TypeError(
        f"{value!r} is a {type(value).__name__}, which cannot be sent to or "
        "from a child process; convert it to numbers, strings or lists"
    )


def _serve(target: str) -> None:
    """Answer every request on standard input, until that is closed."""
    _end_when_input_closes()
    # Standard output is for answers; libraries print to standard error.
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)
        logger.setLevel(logging.INFO)
        logger.addHandler(
            Callback(lambda *record: answers.write(_encode(LogRecord(*record))))
        )
        module, _, name = target.partition(":")
        callee = importlib.import_module(module)
        if name:
            callee = getattr(callee, name)()
        for line in sys.stdin:
            request = Request(**json.loads(line))
            try:
                function = getattr(callee, request.function)
                answer = _encode(Answer(function(**request.arguments)))
            except Exception as error:
                answer = _encode(Answer.of_error(error))
            answers.write(answer)


def _end_when_input_closes() -> None:
    """End this process when the parent ends, even during a call.

    A thread waits until the parent's end of standard input is closed. Native
    code that keeps Python's lock stops that thread, so Linux is also asked to
    kill this process; that alone would miss a parent that has already ended.
    """
    end_with_parent()
    if sys.platform != "win32":
        hangup = select.poll()
        hangup.register(0, 0)  # no event but the hang-up

        def watch() -> None:
            hangup.poll()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _serve(sys.argv[1])
