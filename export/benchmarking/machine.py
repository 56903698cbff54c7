"""What a benchmark needs to know of the machine: cores, load, processor."""

import contextlib
import os
import platform
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """Clock and processor times at one moment, in seconds.

    Args:
        clock: the time of a clock.
        own: processor time that this program has used.
        machine: what `busy_seconds` returns: that of all programs.
    """

    clock: float
    own: float
    machine: float | None

    def others_until(self, end: "Usage") -> float | None:
        """Return how many cores other programs kept busy; `None` if unknown."""
        if self.machine is None or end.machine is None:
            return None
        others = end.machine - self.machine - (end.own - self.own)
        return max(0.0, others / (end.clock - self.clock))


def busy_seconds() -> float | None:
    """Return the busy seconds of the cores allowed here; `None` if unknown."""
    try:
        text = Path("/proc/stat").read_text()
    except OSError:
        return None
    return busy_ticks(text, cores_allowed()) / os.sysconf("SC_CLK_TCK")


def busy_ticks(text: str, cores: Collection[int]) -> int:
    """Return the ticks in which cores were busy, from Linux's `/proc/stat`.

    What other guests of the same host have stolen counts as busy, because it
    was not available.
    """
    names = {f"cpu{core}" for core in cores}
    ticks = 0
    for line in text.splitlines():
        name, *fields = line.split()
        if name in names:
            # Neither idle nor waiting for a disk, which are fields 3 and 4;
            # guests' time, from field 8 on, is also in the fields before.
            ticks += sum(map(int, fields[:3] + fields[5:8]))
    return ticks


def cores_allowed() -> tuple[int, ...]:
    """Return the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def processor() -> str:
    """Return the name of the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
