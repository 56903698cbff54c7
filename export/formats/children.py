"""Child processes for the converters.

Their memory ends with them, and no line of their logs reaches the terminal.
A script of this folder is run by its path and imports nothing of the package.
"""

import json
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

from keras_inception_export.errors import ConversionError


def command(script: str, *arguments: str | Path) -> list[str | Path]:
    """Return the command line of a script of this folder."""
    path = Path(__file__).with_name(f"{script}.py")
    # -P keeps the script's folder, with its onnx.py, off the import path.
    return [sys.executable, "-P", path, *arguments]


def environment() -> dict[str, str]:
    """Return the environment of a child: it computes on the CPU."""
    return os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}


def run_script(
    script: str, *arguments: str | Path
) -> subprocess.CompletedProcess:
    """Run a script to its end, and keep what it printed."""
    return subprocess.run(
        command(script, *arguments),
        env=environment(),
        capture_output=True,
        text=True,
        errors="replace",
    )


def last_words(status: int, stderr: str) -> str:
    """Say how a child failed."""
    reason = stderr.strip().rpartition("\n")[2]
    return f"ended with status {status}, its last words: {reason or 'none'}"


class Worker:
    """A child that stays, and answers a JSON object a line.

    It ends when this object does.

    Args:
        log: the file for what it prints.
        script: what to run, and its arguments.
    """

    def __init__(self, log: Path, script: str, *arguments: str | Path):
        self._log = log
        with open(log, "w") as file:
            self._process = subprocess.Popen(
                command(script, *arguments),
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        weakref.finalize(self, self._process.communicate)

    def ask(self, **request: Any) -> dict:
        """Return the answer to a request.

        Raises:
            ConversionError: the child has ended.
        """
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return json.loads(self._process.stdout.readline())  # type: ignore
        except (BrokenPipeError, ValueError):
            status = self._process.wait()
            words = last_words(status, self._log.read_text(errors="replace"))
            raise ConversionError(f"the TFLite converter {words}") from None
