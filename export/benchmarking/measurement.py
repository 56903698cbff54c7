"""Run candidates in child processes, in turns, and time their calls."""

import math
import random
import statistics
import time
from collections.abc import Mapping
from typing import Any

from keras_inception_export.benchmarking.machine import busy_seconds
from keras_inception_export.child_process import ChildProcess
from keras_inception_export.errors import ArtifactError

TURN = 0.2
"""Seconds of a turn, which has at least two calls."""


class CandidateProcess(ChildProcess):
    """The process of a candidate, which computes in its turns only.

    Its environment gives frameworks their number of threads.

    Attributes:
        used: processor time in seconds, up to the last answer.
        latency: seconds per call, after the warm-up.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        worker: str = f"{__package__}.worker:Worker",
    ) -> None:
        kinds = ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
        super().__init__(
            worker, {f"{kind}_THREADS": str(threads) for kind in kinds}
        )
        self._name = name
        self.used = 0.0
        self.latency = 0.0

    def open(self, **arguments: Any) -> None:
        """Open the candidate (see `Worker.open`), and wait until it is warm."""
        self.latency = statistics.median(self._call("open", **arguments))

    def take_turn(self) -> list[float]:
        """Compute for one turn; return the seconds of each call."""
        # The first call finds the caches as the other candidates left them.
        return self._call("take_turn", length=TURN)[1:]

    def _call(self, function: str, **arguments: Any) -> list[float]:
        """Call the worker; return the seconds of its calls."""
        try:
            answer = self.call(function, **arguments)
        except RuntimeError as error:
            raise ArtifactError(
                f"{self._name} cannot be measured: {error}"
            ) from error
        self.used = answer["used"]
        return answer["seconds"]


def measure(
    processes: Mapping[str, CandidateProcess], rounds: int, seed: int
) -> tuple[dict[str, list[list[float]]], float | None]:
    """Give each process one turn per round.

    Returns:
        For each name and round the seconds of its calls, and how many cores
        other programs kept busy meanwhile; `None` if unknown.
    """

    def usage() -> tuple[float, float]:
        """Return a clock, and the processor time of other programs."""
        own = time.process_time() + sum(p.used for p in processes.values())
        return time.perf_counter(), busy_seconds() - own

    times: dict[str, list[list[float]]] = {name: [] for name in processes}
    generator = random.Random(seed)
    start, before = usage()
    for _ in range(rounds):
        for name in generator.sample(list(processes), len(processes)):
            times[name].append(processes[name].take_turn())
    end, after = usage()
    others = (after - before) / (end - start)
    return times, None if math.isnan(others) else max(0.0, others)
