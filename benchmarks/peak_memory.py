"""The peak memory of this process, or of it and its children."""

import os
import resource
import threading
from pathlib import Path


class Monitor:
    """Records the peak of what `read` returns for this process, in a thread."""

    def __init__(self, read):
        self._read = read

    def __enter__(self):
        self.start = self.peak = self._read(os.getpid())
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def _run(self):
        while not self._done.wait(0.01):
            self.peak = max(self.peak, self._read(os.getpid()))

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()


def resident(pid):
    """Return the resident memory of a process in bytes; 0 if it has ended."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * resource.getpagesize()


def anonymous(pid):
    """Return the bytes of a process and its children that no file has."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
        tasks = Path(f"/proc/{pid}/task").iterdir()
        children = [
            child
            for task in tasks
            for child in (task / "children").read_text().split()
        ]
    except OSError:  # it has ended
        return 0
    lines = dict(line.split(":", 1) for line in text.splitlines())
    own = int(lines.get("RssAnon", "0 kB").split()[0]) * 1024
    return own + sum(map(anonymous, children))
