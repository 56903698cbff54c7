"""Start Python processes on other backends and wait for them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
BACKENDS = ("tensorflow", "jax", "torch")


def start(backend, *arguments):
    """Start Python with some arguments on a backend and return the process."""
    environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_port():
    """Return an unused TCP port of this machine."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def wait_for(text, process):
    """Read the output of a process up to the line that has a text."""
    for line in process.stdout:
        if text in line:
            return


def finish(*processes, exit_codes=(0,)):
    """Wait for processes and return the output of each."""
    outputs = [process.communicate(timeout=600)[0] for process in processes]
    for process, text in zip(processes, outputs, strict=True):
        assert process.returncode in exit_codes, text
    return outputs
