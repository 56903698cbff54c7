"""Time limits for the calls of runtimes, which may run for ever.

An artifact is a program: a loop in it need not end.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from keras_inception_export.errors import RequestError, TimeLimitError

VARIABLE = "KERAS_INCEPTION_TIME_LIMIT"
"""The environment variable with the seconds that every call may take."""

SECONDS = 60.0
"""Its default."""

MOST = 1e9
"""More than any call takes, and less than a thread can wait for."""

PER_ROW, PER_BYTE = 3.0, 1e-7
"""What is added per sample and per byte of the artifact: a network of 22 GFLOP
takes 0.05 s per sample, and one of 0.5 GB 1 s to open, on two cores."""

_Result = TypeVar("_Result")


def limit(nbytes: int = 0, rows: int = 0) -> float:
    """Return the seconds that a call of an artifact may take."""
    text = os.environ.get(VARIABLE, SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < MOST:
        raise RequestError(
            f"{VARIABLE} is {text!r}; expected a positive number of seconds, "
            f"less than {MOST:.0e}"
        )
    return seconds + PER_ROW * rows + PER_BYTE * nbytes


def within(
    seconds: float,
    what: str,
    function: Callable[..., _Result],
    *arguments: Any,
    stop: Callable[[], None] = lambda: None,
) -> _Result:
    """Call a function in a thread, and wait for it for a limited time.

    The function, which is called `what` in the message, must release Python's
    lock. After the limit `stop` asks it to end; if that does not help, the
    thread runs until the process ends.

    Raises:
        TimeLimitError: if it takes longer.
        Exception: whatever the function raises.
    """
    future: Future[_Result] = Future()

    def work() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    if not wait([future], seconds).done:
        stop()
        raise TimeLimitError(
            f"{what} did not end within {seconds:.4g} s; expected a model "
            "without an endless loop; if it is only slow, give it more time "
            f"with the environment variable {VARIABLE}, in seconds"
        )
    return future.result()
