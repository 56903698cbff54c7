"""Run a command as a user does."""

import subprocess


def run(command, *words, **kwargs):
    """Return the finished process, with what it printed."""
    return subprocess.run(
        [*command, *map(str, words)],
        capture_output=True,
        text=True,
        **kwargs,
    )
