"""Run functions of this package in a child process.

A child has its own memory, backend and environment: memory that a converter
takes ends with it, and what it prints does not reach the terminal.

    with ChildProcess("keras_inception_export.worker") as child:
        child.call("convert", saved_model=folder, output=path)

Each call is one line of JSON on the child's standard input, a `Request`; the
child answers on its standard output with one `Answer`, after any number of log
records, which are logged again in the parent. An exception in the child is
raised in the parent as the exception it was. A child ends with its parent,
however that ends.
"""

import builtins
import contextlib
import ctypes
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, TextIO

from keras_inception_export import errors
from keras_inception_export.logs import logger

_PARENT = "KERAS_INCEPTION_PARENT"
"""The environment variable that holds the process id of the parent."""

_PR_SET_PDEATHSIG = 1
"""From Linux's `prctl.h`: the signal to receive when the parent ends."""


@dataclass(frozen=True)
class Request:
    """One call.

    Args:
        function: name of a function of the child's target.
        arguments: its keyword arguments; paths become strings.
    """

    function: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The result of a call, or the exception that it raised.

    Args:
        result: what the function returned, as JSON.
        error: class name of the exception; `None` if there was none.
        message: text of the exception.
    """

    result: Any = None
    error: str | None = None
    message: str = ""

    @classmethod
    def of_error(cls, error: Exception) -> "Answer":
        """Return the answer for an exception."""
        return cls(error=type(error).__name__, message=str(error))

    def value(self) -> Any:
        """Return the result, or raise the exception.

        Errors of this package and built-in exceptions keep their class; any
        other becomes a `RuntimeError` that names it.
        """
        if self.error is None:
            return self.result
        for module in (errors, builtins):
            cls = getattr(module, self.error, None)
            if isinstance(cls, type) and issubclass(cls, Exception):
                with contextlib.suppress(TypeError):  # needs more arguments
                    raise cls(self.message)
        raise RuntimeError(f"{self.error}: {self.message}")


@dataclass(frozen=True)
class _Log:
    """A log record of the child."""

    level: int
    log: str = field(default="")


class ChildProcess:
    """A Python process that calls functions on request.

    It ends when this object is closed or collected, or with this process.

    Args:
        target: the module whose functions are called, or `"module:Class"`:
            then the methods of one instance are called.
        environment: variables to set, beside those of this process. The child
            computes on the CPU unless they say otherwise.
    """

    def __init__(
        self,
        target: str,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, target],
            env={
                **os.environ,
                "CUDA_VISIBLE_DEVICES": "-1",
                **environment,
                _PARENT: str(os.getpid()),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self._finalizer = weakref.finalize(self, _end, self._process)

    def __enter__(self) -> "ChildProcess":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child, whatever it is doing."""
        self._finalizer()

    def call(self, function: str, **arguments: Any) -> Any:
        """Call a function in the child, and return its result.

        Args:
            function: name of a function of the target.
            **arguments: its arguments, as JSON can hold them; paths may be
                among them.

        Raises:
            RuntimeError: the child ended without an answer.
            Exception: whatever the function raises.
        """
        request = Request(function, arguments)
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the child process has no pipes")
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(asdict(request), default=str), file=stdin)
            stdin.flush()
        for line in stdout:
            facts = json.loads(line)
            if "log" not in facts:
                return Answer(**facts).value()
            logger.log(facts["level"], facts["log"])
        raise RuntimeError(
            f"the child process ended with status {self._process.wait()}; the "
            f"last line of its standard error: {self._last_line() or 'none'}"
        )

    def _last_line(self) -> str:
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace")
        return text.strip().rpartition("\n")[2]


def run_in_child(
    target: str,
    function: str,
    environment: Mapping[str, str] = MappingProxyType({}),
    **arguments: Any,
) -> Any:
    """Call one function in a child process of its own.

    Args:
        target: see `ChildProcess`.
        function: see `ChildProcess.call`.
        environment: see `ChildProcess`. Defaults to none.
        **arguments: see `ChildProcess.call`.
    """
    with ChildProcess(target, environment) as child:
        return child.call(function, **arguments)


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def _serve(target: str) -> None:
    """Answer every request on the standard input, until it ends."""
    _end_with_parent(int(os.environ[_PARENT]))
    with _answers() as answers:
        logger.setLevel(logging.INFO)
        logger.addHandler(_Forward(answers))
        callee = _resolve(target)
        for line in sys.stdin:
            request = Request(**json.loads(line))
            try:
                function = getattr(callee, request.function)
                answer = Answer(function(**request.arguments))
            except Exception as error:
                sys.excepthook(*sys.exc_info())
                answer = Answer.of_error(error)
            _send(answers, answer)


def _resolve(target: str) -> Any:
    module, _, name = target.partition(":")
    imported = importlib.import_module(module)
    return getattr(imported, name)() if name else imported


@contextlib.contextmanager
def _answers() -> Iterator[TextIO]:
    """Keep standard output for answers; libraries print to standard error."""
    sys.stdout.flush()
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        yield answers


class _Forward(logging.Handler):
    """Sends log records to the parent.

    Args:
        answers: where answers are written.
    """

    def __init__(self, answers: TextIO) -> None:
        super().__init__()
        self._answers = answers

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        _send(self._answers, _Log(record.levelno, record.getMessage()))


def _send(answers: TextIO, message: Answer | _Log) -> None:
    print(json.dumps(asdict(message), default=str), file=answers, flush=True)


def _end_with_parent(parent: int) -> None:
    """End this process when the parent ends.

    Linux kills it at once, even in native code that keeps Python's lock; a
    thread that looks for the parent serves the other systems.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    _serve(sys.argv[1])
