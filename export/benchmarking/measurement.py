"""Run candidates in child processes, in turns, and time their calls."""

import contextlib
import random
import statistics
import time
from collections.abc import Mapping
from typing import Any

from keras_inception_export.benchmarking.machine import Usage, busy_seconds
from keras_inception_export.child_process import ChildProcess
from keras_inception_export.errors import ArtifactError

TURN = 0.2
"""Seconds of a turn, which has at least two calls."""


class CandidateProcess(contextlib.AbstractContextManager):
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
        self._name = name
        kinds = ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")
        environment = {f"{kind}_THREADS": str(threads) for kind in kinds}
        self._child = ChildProcess(worker, environment=environment)
        self.used = 0.0
        self.latency = 0.0

    def __exit__(self, *exception: object) -> None:
        self._child.close()

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
            answer = self._child.call(function, **arguments)
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

    def usage() -> Usage:
        own = time.process_time() + sum(p.used for p in processes.values())
        return Usage(time.perf_counter(), own, busy_seconds())

    times: dict[str, list[list[float]]] = {name: [] for name in processes}
    generator = random.Random(seed)
    start = usage()
    for _ in range(rounds):
        for name in generator.sample(list(processes), len(processes)):
            times[name].append(processes[name].take_turn())
    return times, start.others_until(usage())
