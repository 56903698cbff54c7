"""Functions that the tests of child processes call in a child."""

import builtins
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from keras_inception_export import errors
from keras_inception_export.logs import logger


class RequestError(Exception):
    """An exception of another package, named like one of ours."""


FOREIGN = {
    "json": json.JSONDecodeError("broken", "{", 1),
    "unicode": UnicodeDecodeError("utf-8", b"\xff", 0, 1, "broken"),
    "group": ExceptionGroup("broken", [ValueError("one")]),
    "namesake": RequestError("broken"),
}
"""Exceptions that cannot be raised again as what they were."""


class Counter:
    """Counts its calls."""

    def __init__(self):
        self._calls = 0

    def count(self):
        self._calls += 1
        return self._calls


def echo(value):
    return value


def numpy_values():
    return {"float": np.float32(0.5), "array": np.eye(2), "path": Path("a/b")}


def unsendable():
    return {1, 2}


def fail(name, message):
    kind = getattr(errors, name, None) or getattr(builtins, name)
    raise kind(message)


def fail_foreign(name):
    raise FOREIGN[name]


def log(text, value):
    logger.info(text, value)
    logger.warning("done")


def make_noise():
    print("printed")
    sys.stderr.write("to standard error\n")
    os.write(1, b"by native code")
    os.system("echo by a grandchild")
    return "answer"


def crash(how):
    sys.stderr.write("first line\nout of memory\n")
    sys.stderr.flush()
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def work(fifo, native):
    """Log "busy", then work for a minute; `fifo` is open to the end.

    Native work keeps Python's lock, as a converter does.
    """
    file = os.open(fifo, os.O_WRONLY)
    logger.info("busy")
    if native:
        ctypes.PyDLL(None).sleep(60)
    else:
        time.sleep(60)
    os.close(file)
