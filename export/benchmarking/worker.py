"""The child process of one candidate of a benchmark.

`run` starts it, and calls it in turns. The threads of a runtime go on spinning
for a while after a call, so an answer is sent only once the process is idle.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.benchmarking.keras_baseline import open_model
from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import quantized_feed
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.verification.probes import Probes

WARM_UP = 0.5
"""Seconds of calls, at least five of them, before the first turn."""

LONGEST_WAIT = 0.5
"""Seconds until a process that is not idle counts as such."""


class Worker:
    """Opens one candidate, then runs it in turns."""

    def open(
        self,
        path: str,
        format_name: str | None,
        probes: str,
        batch_size: int,
        threads: int,
        modules: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Open a candidate, and warm it up.

        The format of a `.keras` file is `None`; its custom layers need
        `modules`. The last batch of the probes, repeated or cut to the batch
        size, is the input.

        Returns:
            `seconds` of the last three calls (`take_turn`: of all), and
            `used`: the processor time of this process in seconds.
        """
        with reading(path, "cannot be run"):
            loaded = Probes.load(probes)
            rows = np.arange(batch_size)
            feeds = {
                name: array[rows % len(array)]
                for name, array in loaded.feeds[-1].items()
            }
            if format_name is None:
                self._run = open_model(path, modules, feeds, loaded)
            else:
                self._run = self.open_artifact(
                    path, format_name, feeds, threads
                )
            seconds = _turn(self._run, WARM_UP, at_least=5)
        return {"seconds": seconds[-3:], "used": _wait_until_idle()}

    def open_artifact(
        self,
        path: str,
        format_name: str,
        feeds: Mapping[str, np.ndarray],
        threads: int,
    ) -> Callable[[], object]:
        """Return a function that runs an artifact on `feeds`."""
        runner = FORMATS[format_name].open_runner(Path(path), threads=threads)
        quantized = quantized_feed(runner.inputs, feeds)
        return lambda: runner.run(quantized)

    def take_turn(self, length: float) -> dict[str, Any]:
        """Run for `length` seconds and at least two calls; see `open`."""
        seconds = _turn(self._run, length, at_least=2)
        return {"seconds": seconds, "used": _wait_until_idle()}


def _turn(
    call: Callable[[], object], length: float, at_least: int
) -> list[float]:
    """Call repeatedly; return the seconds of each call."""
    seconds: list[float] = []
    end = time.perf_counter() + length
    while len(seconds) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def _wait_until_idle() -> float:
    """Wait until no thread computes; return the processor time in seconds.

    A spinning thread may itself be waiting for a core, so the process counts as
    idle after four checks in a row.
    """
    end = time.perf_counter() + LONGEST_WAIT
    used, idle_checks = time.process_time(), 0
    while idle_checks < 4 and time.perf_counter() < end:
        time.sleep(0.005)
        before, used = used, time.process_time()
        idle_checks = idle_checks + 1 if used - before < 0.0005 else 0
    return used
