"""What a benchmark needs to know of the machine: cores, load, processor."""

import contextlib
import math
import os
import platform
from collections.abc import Collection
from pathlib import Path


def busy_seconds() -> float:
    """Return the busy seconds of the cores allowed here; NaN if unknown."""
    try:
        text = Path("/proc/stat").read_text()
    except OSError:
        return math.nan
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
