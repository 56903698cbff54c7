"""Statistics of a benchmark's times, and whether they allow a conclusion."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import comb

MAX_SPREAD = 0.05
"""Largest uncertainty, relative to the figure, that allows a conclusion."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A median, and its confidence interval of 95 % from `low` to `high`."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Half the width of the interval, relative to the median."""
        return (self.high - self.low) / 2 / self.median


def median_interval(values: Sequence[float]) -> Interval:
    """Return the median of independent values with its confidence interval.

    The interval lies between two of the sorted values. Each value is below the
    true median with probability one half, whatever the distribution, so the
    ranks of the two follow from the binomial distribution. With fewer than six
    values the interval is their whole range.
    """
    ordered = sorted(values)
    number = len(ordered)
    tails = accumulate(comb(number, k) / 2**number for k in range(number))
    cut = sum(tail <= (1 - CONFIDENCE) / 2 for tail in tails)
    low = max(cut - 1, 0)
    return Interval(statistics.median(ordered), ordered[low], ordered[-1 - low])


def speeds(
    times: Mapping[str, Sequence[Sequence[float]]], baseline: str
) -> dict[str, Interval]:
    """Return the speed of each candidate as a multiple of the baseline's.

    `times` has, for each candidate and each round, the seconds of its calls. A
    speed is the median, over the rounds, of the ratio of the medians within a
    round: what slows a whole round down cancels out.
    """
    medians = {
        name: [statistics.median(calls) for calls in rounds]
        for name, rounds in times.items()
    }
    ratios = {}
    for name, values in medians.items():
        pairs = zip(medians[baseline], values, strict=True)
        ratios[name] = median_interval([base / own for base, own in pairs])
    return ratios


def find_doubts(
    ratios: Mapping[str, Interval],
    others: float | None,
    threads: int,
    cores: int,
) -> list[str]:
    """Return the reasons why the figures allow no conclusion, if any."""
    found = []
    missing = threads + (others or 0.0) - cores
    if others and missing > MAX_SPREAD * threads:
        found.append(
            f"other programs kept {others:.1f} of {cores} cores busy, which "
            f"left too little for --threads {threads}"
        )
    name = max(ratios, key=lambda name: ratios[name].spread)
    if ratios[name].spread > MAX_SPREAD:
        found.append(
            f"the speed of {name} is known to {ratios[name].spread:.0%} only"
        )
    return found
