"""One candidate of a benchmark, in a process of its own.

Started by `run`, which asks for one turn after the other. What runs in another
process has its own pool of threads, and such pools spin for a while after
their work; so each turn is answered only once this process is idle.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.errors import (
    ArtifactError,
    ExportError,
    reason_of,
)
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.verification.probes import Probes

WARM_UP = 0.5
"""Seconds, and at least five calls, before anything counts."""


class Worker:
    """Opens one candidate, then runs it in turns."""

    def open(self, job: Mapping[str, Any]) -> dict[str, Any]:
        """Open the candidate and warm it up.

        Args:
            job: its "kind", "path", "probes", "batch_size" and "threads", and
                what its kind needs.

        Returns:
            `seconds` of the last three calls, and `used`: the processor time
            of this process in seconds.

        Raises:
            ExportError: it cannot be opened or run.
        """
        try:
            probes = Probes.load(job["probes"])
            feeds = _feeds(probes, job["batch_size"])
            self._run = _OPENERS[job["kind"]](job, feeds, probes)
            seconds = _turn(self._run, WARM_UP, at_least=5)
        except ExportError:
            raise
        except Exception as error:
            raise ArtifactError(
                f"{job['path']} cannot be run: {reason_of(error)}"
            ) from error
        return {"seconds": seconds[-3:], "used": _at_rest()}

    def take_turn(self, length: float) -> dict[str, Any]:
        """Run for `length` seconds and at least two calls; return as `open`."""
        seconds = _turn(self._run, length, at_least=2)
        return {"seconds": seconds, "used": _at_rest()}


def _turn(call, length, at_least):
    """Call again and again; return the seconds of each call."""
    seconds: list[float] = []
    end = time.perf_counter() + length
    while len(seconds) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def _at_rest(patience=0.5):
    """Wait until no thread computes; return the process's CPU seconds.

    A thread that spins may have to wait for a core itself, so several looks
    in a row have to find the process quiet.
    """
    end = time.perf_counter() + patience
    used, quiet = time.process_time(), 0
    while quiet < 4 and time.perf_counter() < end:
        time.sleep(0.005)
        before, used = used, time.process_time()
        quiet = quiet + 1 if used - before < 0.0005 else 0
    return used


def _feeds(probes, batch_size):
    """Return the last batch of probes, repeated to fill a batch."""
    rows = np.arange(batch_size)
    return {
        name: array[rows % len(array)]
        for name, array in probes.feeds[-1].items()
    }


def _open_artifact(job, feeds, probes) -> Callable[[], object]:
    runner = FORMATS[job["format"]].open_runner(
        Path(job["path"]), threads=job["threads"]
    )
    held = {
        spec.name: spec.quantize(feeds[spec.name]) for spec in runner.inputs
    }
    return lambda: runner.run(held)


def _open_keras(job, feeds, probes) -> Callable[[], object]:
    from keras_inception_export.benchmarking.keras_baseline import open_model

    return open_model(job["path"], job["modules"], feeds, probes)


def _open_keras_export(job, feeds, probes) -> Callable[[], object]:
    from keras_inception_export.benchmarking.keras_baseline import open_export

    return open_export(job["format"], job["path"], feeds, job["threads"])


_OPENERS = {
    "artifact": _open_artifact,
    "keras": _open_keras,
    "keras_export": _open_keras_export,
}
