"""What the times of a benchmark say, and whether they can be trusted."""

import os
import platform
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path

LOOSE = 0.05
"""A ratio that is known to no better than this part of itself is noise."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A median, and where it lies for all that is known.

    Args:
        median: of the values.
        low: lower end of the interval that holds the true median with a
            confidence of 95 %.
        high: its upper end.
    """

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Half the interval, as a part of the median."""
        return (self.high - self.low) / 2 / self.median


def median_interval(values: Sequence[float]) -> Interval:
    """Return the median of independent values and its interval.

    The interval lies between two of the sorted values: how many fall below
    the true median is a toss of coins, whatever their distribution. With
    fewer than six values it is their whole range.
    """
    ordered = sorted(values)
    number, tail, cut = len(ordered), 0.0, 0
    while True:
        tail += comb(number, cut) / 2**number
        if tail > (1 - CONFIDENCE) / 2:
            break
        cut += 1
    cut = max(cut - 1, 0)
    return Interval(
        statistics.median(ordered), ordered[cut], ordered[number - 1 - cut]
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, between the two nearest values."""
    if len(values) == 1:
        return values[0]
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return cuts[percent - 1]


def schedule(
    names: Sequence[str], rounds: int, seed: int
) -> list[tuple[str, ...]]:
    """Return for each round an order of all names, drawn anew."""
    generator = random.Random(seed)
    return [tuple(generator.sample(names, len(names))) for _ in range(rounds)]


def speeds(
    times: Mapping[str, Sequence[Sequence[float]]], baseline: str
) -> dict[str, Interval]:
    """Return how many times as fast as the baseline each candidate is.

    Args:
        times: for each candidate and each round, the seconds of its calls.
        baseline: the candidate with speed 1.

    Returns:
        The interval of the ratios of medians, one ratio a round: what slows
        a whole round down drops out.
    """
    medians = {
        name: [statistics.median(calls) for calls in rounds]
        for name, rounds in times.items()
    }
    return {
        name: median_interval(
            [
                base / own
                for base, own in zip(medians[baseline], values, strict=True)
            ]
        )
        for name, values in medians.items()
    }


def doubts(
    ratios: Mapping[str, Interval], others: float | None, threads: int
) -> list[str]:
    """Say why the figures prove nothing; an empty list if they do.

    Args:
        ratios: the speed of each candidate.
        others: how many cores other programs kept busy; `None` if unknown.
        threads: the threads of each candidate.
    """
    found = []
    cores = len(cores_allowed())
    missing = threads + (others or 0.0) - cores
    if others and missing > LOOSE * threads:
        found.append(
            f"other programs kept {others:.1f} of {cores} cores busy, which "
            f"left too little for --threads {threads}"
        )
    name = max(ratios, key=lambda name: ratios[name].spread)
    if ratios[name].spread > LOOSE:
        found.append(
            f"the speed of {name} is known to {ratios[name].spread:.0%} only"
        )
    return found


def busy_seconds() -> float | None:
    """Return the processor time of the whole machine; None if unknown.

    Counts the cores that this process may use. What another guest of the
    same host has stolen counts as busy: it was not to be had.
    """
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    ours = {f"cpu{core}" for core in cores_allowed()}
    ticks = 0
    for line in lines:
        name, *fields = line.split()
        if name in ours:
            user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(
                int, fields
            )
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def cores_allowed() -> tuple[int, ...]:
    """Return the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def processor() -> str:
    """Return what the processor calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
