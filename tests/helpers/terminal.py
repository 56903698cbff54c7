"""Run the command on a pseudo-terminal."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

COMMAND = (sys.executable, "-m", "keras_inception_export")


def run_on_terminal(words, *, columns=80, **variables):
    """Return the exit code, and all that a terminal gets."""
    parent, child = pty.openpty()
    size = struct.pack("HHHH", 40, columns, 0, 0)
    fcntl.ioctl(child, termios.TIOCSWINSZ, size)
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    environment.pop("COLUMNS", None)
    with subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdin=child,
        stdout=child,
        stderr=child,
        env=environment,
    ) as process:
        os.close(child)
        shown = b""
        try:
            while part := os.read(parent, 2**16):
                shown += part
        except OSError:  # it has ended
            pass
        os.close(parent)
    return process.returncode, shown.decode()
