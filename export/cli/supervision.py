"""Run the command in a child process, whatever may end it.

Libraries swallow Ctrl-C, end the process where memory runs out, and the system
kills it. The parent, which imports none of them, then says in one line what
happened, and removes what was half written.
"""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from keras_inception_export.bundle.publication import held_folder
from keras_inception_export.child_process import end_with_parent, killed_by
from keras_inception_export.errors import RequestError

STOPS = {
    "SIGINT": "interrupted",
    "SIGTERM": "terminated",
    "SIGHUP": "interrupted, because the terminal was closed",
    "SIGQUIT": "ended by the key for SIGQUIT",
    "SIGUSR1": "ended by SIGUSR1",  # as schedulers send before a time limit
    "SIGUSR2": "ended by SIGUSR2",
    "SIGXCPU": "ended, because its limit of processor time is reached; raise "
    "it (ulimit -t)",
}
"""Signals that ask the command to stop, and what it then prints."""

LEFT = (
    "a library ended the process, perhaps because memory ran out; free memory, "
    "or raise its limit"
)

_CHILD = getattr(signal, "SIGCHLD", signal.SIGTERM)  # not on Windows


def open_standard_streams() -> None:
    """Open what the command was started without, so that it can be used."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # The lowest free number, unless Python has used it meanwhile.
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
            setattr(sys, name, os.fdopen(number, "w" if number else "r"))


@contextlib.contextmanager
def deferred_signals() -> Iterator[set[signal.Signals]]:
    """Keep signals that would end this process until they are waited for."""
    signals = {signal.Signals[name] for name in STOPS}
    signals = {x for x in signals if signal.getsignal(x) != signal.SIG_IGN}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals | {_CHILD})
    handler = signal.signal(_CHILD, lambda *_: None)  # or it may be discarded
    try:
        yield signals
    finally:
        while signal.sigtimedwait(signals, 0):  # one more Ctrl-C
            pass
        signal.signal(_CHILD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def supervise(
    run: Callable[[], int],
    clean: Callable[[], str],
    signals: set[signal.Signals],
) -> tuple[int, str]:
    """Run a function, which returns the exit code, in a child process.

    The signals end the child at once. Return the exit code, and what ended the
    child early, if anything did, with what `clean` adds to it.
    """
    with contextlib.ExitStack() as stack:
        folder = None  # of the temporary files of a process that may be killed
        with contextlib.suppress(OSError):  # it says so if it needs one
            parent = Path(tempfile.gettempdir())
            held = held_folder(parent, "temporary files")
            folder = str(stack.enter_context(held))
        code, stopped, finished = _run_in_child(run, signals, folder)
    if finished and not stopped:
        return code, ""
    number = stopped or -code
    if number > 0:
        code = 128 + number
        what = STOPS.get(signal.Signals(number).name) or (
            f"the process was {killed_by(number)}; free memory, or raise the "
            "limits"
        )
    else:
        code, what = RequestError.exit_code, LEFT
    return code, f"{what}{clean()}"


def _run_in_child(
    run: Callable[[], int], signals: set[signal.Signals], folder: str | None
) -> tuple[int, int, bool]:
    """Return the child's exit code, for which signal it was killed, if any,
    and whether the function returned: libraries may call `exit`.
    """
    parent = os.getpid()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if folder is not None:
            os.environ["TMPDIR"] = tempfile.tempdir = folder
        _serve(run, signals, parent, writer)
    stopped = 0
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        received = signal.sigwait(signals | {_CHILD})
        if received in signals and not stopped:
            stopped = received
            os.kill(child, signal.SIGKILL)
    os.close(writer)
    os.set_blocking(reader, False)
    with open(reader, "rb", 0) as file:
        finished = bool(file.read(1))
    return os.waitstatus_to_exitcode(ended[1]), stopped, finished


def _serve(
    run: Callable[[], int],
    signals: set[signal.Signals],
    parent: int,
    writer: int,
) -> NoReturn:
    """Run the function, and end this process with its exit code."""
    code = 1
    try:
        end_with_parent()
        if os.getppid() == parent:
            for number in (*signals, _CHILD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, signals | {_CHILD})
            code = run()
    except BaseException:  # with --debug
        sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
    os.write(writer, b"1")
    # No destructors: threads of a runtime may still be running.
    os._exit(code)
