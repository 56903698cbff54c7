"""Run the command in a child process, whatever may end it.

Libraries swallow Ctrl-C, end the process where memory runs out, and the system
kills it. The parent, which imports none of them, then says in one line what
happened, and removes what was half written.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from keras_inception_export.child_process import end_with_parent, killed_by
from keras_inception_export.logs import printable

STOPS = {
    name: text
    for name, text in (
        ("SIGINT", "interrupted"),
        ("SIGTERM", "terminated"),
        ("SIGHUP", "interrupted, because the terminal was closed"),
    )
    if hasattr(signal, name)
}
"""Signals that ask the command to stop, and what it then prints."""

_CHILD = getattr(signal, "SIGCHLD", signal.SIGTERM)  # not on Windows


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
        signal.signal(_CHILD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def supervise(
    run: Callable[[], int],
    clean: Callable[[], str],
    signals: set[signal.Signals],
) -> int:
    """Run a function in a child process, and return the exit code.

    Args:
        run: returns the exit code.
        clean: is called if the child was ended by a signal; returns what is
            added to the message.
        signals: end the child at once.
    """
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _serve(run, signals, parent)
    stopped = 0
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        received = signal.sigwait(signals | {_CHILD})
        if received in signals and not stopped:
            stopped = received
            os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(ended[1])
    if code >= 0 and not stopped:
        return code
    number = signal.Signals(stopped or -code)
    print(
        printable(f"keras-inception: {_explained(number)}{clean()}"),
        file=sys.stderr,
    )
    return 128 + number


def _explained(number: signal.Signals) -> str:
    return STOPS.get(number.name) or (
        f"the process was {killed_by(number)}; free memory, or raise its limit"
    )


def _serve(
    run: Callable[[], int], signals: set[signal.Signals], parent: int
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
    # No destructors: threads of a runtime may still be running.
    os._exit(code)
