"""Run functions of this package in a child process.

A child has its own memory, backend and environment: the memory that a
converter allocates is freed with it, and what it prints does not reach the
terminal.

    with ChildProcess("keras_inception_export.worker") as child:
        child.call("convert", saved_model=folder, output=path)

Each call is one line of JSON on the child's standard input. The child writes
log records and then one answer to its standard output, one JSON object per
line. The parent logs the records again, and raises the exception that the child
raised. A child ends when its parent ends, even if that is killed while the
child is busy.
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
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from keras_inception_export import errors
from keras_inception_export.logs import Callback, logger

_PR_SET_PDEATHSIG = 1
"""From Linux's `prctl.h`: the signal to receive when the parent ends."""


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
        line = _encode(function=function, arguments=arguments)
        try:
            answer = self._exchange(line)
        except BaseException:
            # Otherwise a later call would receive the answer to this one.
            self.close()
            raise
        if "error" in answer:
            raise _error_of(**answer)
        return answer["result"]

    def _exchange(self, line: str) -> dict[str, Any]:
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
                return facts
            logger.log(facts["level"], facts["text"])
        code = self._process.wait()
        how = f"ended with status {code}"
        if code < 0:
            how = f"was {killed_by(-code)}"
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace")
        last = text.strip().rpartition("\n")[2]
        raise RuntimeError(
            f"the child process {how}; the last line of its standard error: "
            f"{last or 'none'}"
        )


def killed_by(number: int) -> str:
    """Describe how a signal ended a process."""
    name = signal.Signals(number).name
    return f"killed by signal {number} ({name}), perhaps because memory ran out"


def end_with_parent() -> None:
    """Ask Linux to kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def run_in_child(
    target: str,
    function: str,
    environment: Mapping[str, str] = MappingProxyType({}),
    **arguments: Any,
) -> Any:
    """Call one function in a new child process, and return its result."""
    with ChildProcess(target, environment) as child:
        return child.call(function, **arguments)


def _end(process: subprocess.Popen, stderr: IO[bytes]) -> None:
    process.kill()
    process.communicate()
    stderr.close()


def _error_of(error: str, message: str, traceback: str) -> Exception:
    """Return the exception of a child, with its traceback as a note.

    Errors of this package and built-in exceptions keep their class; any other
    becomes a `RuntimeError` that names it, and so does an exception that cannot
    be made from its text alone.
    """
    module, _, name = error.rpartition(".")
    found: Exception = RuntimeError(f"{name}: {message}")
    if module in ("builtins", errors.__name__):
        with contextlib.suppress(TypeError):  # it needs more arguments
            found = getattr(importlib.import_module(module), name)(message)
    found.add_note(traceback)
    return found


def _encode(**message: Any) -> str:
    return json.dumps(message, default=_as_json) + "\n"


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
            Callback(lambda x, text: answers.write(_encode(level=x, text=text)))
        )
        module, _, name = target.partition(":")
        callee = importlib.import_module(module)
        if name:
            callee = getattr(callee, name)()
        for line in sys.stdin:
            request = json.loads(line)
            try:
                function = getattr(callee, request["function"])
                answer = _encode(result=function(**request["arguments"]))
            except Exception as error:
                kind = type(error)
                answer = _encode(
                    error=f"{kind.__module__}.{kind.__qualname__}",
                    message=str(error),
                    traceback="".join(traceback.format_exception(error)),
                )
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
