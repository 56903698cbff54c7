"""One contender of a benchmark, in a process of its own.

Started by `benchmarking`, which writes one line to its standard input for
each turn and reads one line of JSON from its standard output. Between turns
the process waits in a read. What runs in another process has its own pool of
threads, and such pools spin for a while after their work; so each turn is
answered only once this process has come to rest.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_inception_export.answering import answering, failure
from keras_inception_export.errors import (
    ArtifactError,
    ExportError,
    reason_of,
)
from keras_inception_export.formats import format_module
from keras_inception_export.probes import Probes

WARM_UP = 0.5
"""Seconds, and at least five calls, before anything counts."""


def main() -> None:
    """Open the contender of the job in argv; then answer turn by turn."""
    answer = answering()
    job = json.loads(sys.argv[1])
    try:
        probes = Probes.load(job["probes"])
        feeds = _feeds(probes, job["batch_size"])
        call = _OPENERS[job["kind"]](job, feeds, probes)
        seconds = _turn(call, WARM_UP, at_least=5)
    except ExportError as error:
        answer(**failure(error))
        return
    except Exception as error:
        message = f"{job['path']} cannot be run: {reason_of(error)}"
        answer(**failure(ArtifactError(message)))
        return
    answer(seconds=seconds[-3:], used=_at_rest())
    for line in sys.stdin:
        seconds = _turn(call, float(line), at_least=2)
        answer(seconds=seconds, used=_at_rest())


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
    module = format_module(job["format"])
    runner = module.open_runner(Path(job["path"]), threads=job["threads"])
    held = {
        spec.name: spec.quantize(feeds[spec.name]) for spec in runner.inputs
    }
    return lambda: runner.run(held)


def _open_keras(job, feeds, probes) -> Callable[[], object]:
    from keras_inception_export.keras_itself import open_model

    return open_model(job["path"], job["modules"], feeds, probes)


def _open_keras_export(job, feeds, probes) -> Callable[[], object]:
    from keras_inception_export.keras_itself import open_export

    return open_export(job["format"], job["path"], feeds, job["threads"])


_OPENERS = {
    "artifact": _open_artifact,
    "keras": _open_keras,
    "keras_export": _open_keras_export,
}

if __name__ == "__main__":
    main()
