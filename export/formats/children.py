"""Child processes for the converters.

Their memory ends with them, and no line of their logs reaches the terminal.
A script of this folder is run by its path and imports nothing of the package.
"""

import os
import subprocess
import sys
from pathlib import Path


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
