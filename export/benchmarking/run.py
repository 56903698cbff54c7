"""benchmark: every artifact of a bundle beside Keras, on this machine.

This process opens no runtime: each candidate has a process of its own, which
is told when it is its turn.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keras_inception_export.benchmarking import statistics as timing
from keras_inception_export.benchmarking.candidates import (
    Unavailable,
    artifacts,
    keras_exports,
    keras_model,
)
from keras_inception_export.bundle import bundle
from keras_inception_export.child_process import ChildProcess
from keras_inception_export.errors import (
    ArtifactError,
    ExportError,
    RequestError,
    RuntimeMissingError,
)
from keras_inception_export.formats.registry import format_of
from keras_inception_export.logs import logger, progress_to
from keras_inception_export.verification.probes import Probes

TURN = 0.2
"""Seconds of a turn, which has never less than two calls."""
LEAST_ROUNDS = 6
"""With fewer, the spread of the rounds says nothing."""


def benchmark(
    folder,
    *,
    batch_size: int | None = None,
    threads: int | None = None,
    rounds: int = 20,
    keras_file=None,
    against_keras: bool = False,
    modules: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict:
    """Measure how fast the artifacts of a bundle and Keras itself are.

    Each candidate runs in a process of its own, on the CPU. In each round
    every one has a turn, in random order, while the others are at rest. A
    turn lasts a fifth of a second or two calls, whichever is longer; its
    first call does not count. The speed is the median over the rounds of the
    ratio within a round.

    Args:
        folder: a bundle that `export_model` wrote.
        batch_size: samples a call. Defaults to the artifacts' own, or 1.
        threads: threads of each candidate. Defaults to all cores.
        rounds: how often each has its turn, at least 6. Defaults to `20`.
        keras_file: the `.keras` file of the model. Defaults to the one that
            the bundle was made from.
        against_keras: whether to add Keras's own exports of that file.
            Defaults to `False`.
        modules: what to import for the file's custom layers. Defaults to
            `()`.
        seed: seed of the order of turns. Defaults to `0`.
        progress: called with a line for each step. Defaults to `None`.

    Returns:
        A dictionary: `bundle`, `model`, `machine`, `images` (whether the
        first input holds images), `batch_size`, `threads`,
        `rounds`, `seed`, `baseline` (the row of speed 1), `rows`, `not_run`,
        `others_busy` (cores that other programs kept busy; `None` if
        unknown), `doubts` and `conclusive`. Each row has `name`, `format`,
        `quantization`, `bytes`, `p50_ms`, `p90_ms`, `samples_per_second`,
        `speed`, `speed_low` and `speed_high` (a 95 % interval), `error`,
        `agreement` and `accuracy`; what nobody has measured is `None`.

    Raises:
        RequestError: if an argument is out of its range, or nothing can be
            run here.
        ArtifactError: if an artifact is damaged or fails.

    Example:

        result = benchmark("dist/digits", threads=2)
        {row["name"]: row["speed"] for row in result["rows"]}
    """
    folder = Path(folder)
    report = bundle.read_report(folder)
    threads = len(timing.cores_allowed()) if threads is None else threads
    batch_size = _batch_size(report, batch_size)
    _check_least("threads", threads, 1)
    _check_least("rounds", rounds, LEAST_ROUNDS)
    common = {
        "probes": str(folder / bundle.PROBES),
        "batch_size": batch_size,
        "threads": threads,
        "modules": list(modules),
    }
    with ExitStack() as stack:
        stack.enter_context(progress_to(progress))
        keras = keras_model(report, keras_file)
        candidates = [keras, *artifacts(folder, report)]
        if against_keras:
            workdir = stack.enter_context(tempfile.TemporaryDirectory())
            candidates += keras_exports(report, keras, modules, workdir)
        running, absent = _open_all(candidates, common, stack)
        if not running:
            reasons = "; ".join(f"{a.name}: {a.reason}" for a in absent)
            raise RequestError(f"nothing can be measured here: {reasons}")
        logger.info(_announcement(running.values(), rounds))
        times, others = _measure(running, rounds, seed)
    baseline = next(iter(times))
    ratios = timing.speeds(times, baseline)
    doubts = timing.doubts(ratios, others, threads)
    by_name = {c.name: c for c in candidates}
    return {
        "bundle": str(folder),
        "model": report["model"],
        "machine": {
            "processor": timing.processor(),
            "cores": len(timing.cores_allowed()),
        },
        "images": len(report["artifacts"][0]["inputs"][0]["shape"]) == 4,
        "batch_size": batch_size,
        "threads": threads,
        "rounds": rounds,
        "seed": seed,
        "baseline": baseline,
        "rows": [
            _row(by_name[name], times[name], ratios[name], batch_size)
            for name in running
        ],
        "not_run": [asdict(absence) for absence in absent],
        "others_busy": others,
        "doubts": doubts,
        "conclusive": not doubts,
    }


def relative_latency(path: Path, baseline: Path, probes: Path) -> float:
    """Return an artifact's latency as a multiple of another one's.

    Measured like a benchmark, in its fewest rounds and on all cores; a call
    is of one sample where the batch size is free.

    Args:
        path: the artifact.
        baseline: the other one.
        probes: the file of the `Probes` that both are run on.

    Raises:
        ArtifactError: if one cannot be run.
    """
    job = {
        "kind": "artifact",
        "probes": str(probes),
        "batch_size": Probes.load(probes).fixed_batch or 1,
        "threads": len(timing.cores_allowed()),
    }
    with ExitStack() as stack:
        processes = {}
        for name, file in (("this", path), ("baseline", baseline)):
            job |= {"format": format_of(file).name, "path": str(file)}
            processes[name] = stack.enter_context(_Process(name, job))
            processes[name].open()
        times, _ = _measure(processes, LEAST_ROUNDS, seed=0)
    return 1 / timing.speeds(times, "baseline")["this"].median


def _check_least(name, value, least):
    if value < least:
        raise RequestError(
            f"the number of {name} must be at least {least}, got {value}"
        )


def _batch_size(report, asked):
    """Return the samples a call."""
    fixed = report["artifacts"][0]["inputs"][0]["shape"][0]
    if asked is None:
        return fixed or 1
    _check_least("samples in a batch", asked, 1)
    if fixed not in (None, asked):
        raise RequestError(
            f"the artifacts have the fixed batch size {fixed}, got {asked}"
        )
    return asked


def _open_all(candidates, common, stack):
    """Start a process for each candidate, one after the other.

    Returns:
        The processes by name, and what is absent.
    """
    running, absent = {}, []
    for candidate in candidates:
        if isinstance(candidate, Unavailable):
            absent.append(candidate)
            continue
        logger.info("Open  %s", candidate.name)
        job = {**common, **candidate.job}
        process = stack.enter_context(_Process(candidate.name, job))
        try:
            process.open()
            running[candidate.name] = process
        except ExportError as error:
            missing = isinstance(error, RuntimeMissingError)
            if candidate.required and not missing:
                raise
            absent.append(Unavailable(candidate.name, str(error)))
    return running, absent


def _announcement(processes, rounds):
    seconds = rounds * sum(max(TURN, 2 * p.latency) for p in processes)
    return f"Measure  {rounds} rounds, about {seconds:.0f} s"


class _Process:
    """A candidate's process, which computes in its turns only.

    Args:
        name: the candidate's name.
        job: what `Worker.open` gets.
    """

    def __init__(self, name: str, job: Mapping[str, Any]):
        threads = str(job["threads"])
        self._name = name
        self._job = job
        self._child = ChildProcess(
            f"{__package__}.worker:Worker",
            environment={
                "OMP_NUM_THREADS": threads,
                "TF_NUM_INTRAOP_THREADS": threads,
                "TF_NUM_INTEROP_THREADS": threads,
            },
        )
        self.used = 0.0  # processor time, in seconds, up to the last answer
        self.latency = 0.0  # seconds of a call

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._child.close()

    def open(self) -> None:
        """Wait until it is open and warm.

        Raises:
            RuntimeMissingError: its runtime is not installed.
            RequestError: the `.keras` file cannot be used.
            ArtifactError: it cannot be run.
        """
        self.latency = statistics.median(self._call("open", job=self._job))

    def take_turn(self) -> list[float]:
        """Let it compute for a turn; return the seconds of each call."""
        # The first call finds the caches as others left them.
        return self._call("take_turn", length=TURN)[1:]

    def _call(self, function, **arguments):
        """Call the worker; return the seconds of its calls."""
        try:
            facts = self._child.call(function, **arguments)
        except RuntimeError as error:
            raise ArtifactError(
                f"{self._name} cannot be measured: {error}"
            ) from error
        self.used = facts["used"]
        return facts["seconds"]


def _measure(processes, rounds, seed):
    """Give each process its turns.

    Returns:
        For each name and round the seconds of its calls, and how many cores
        other programs kept busy meanwhile, `None` if unknown.
    """

    def used():
        return time.process_time() + sum(p.used for p in processes.values())

    times: dict[str, list] = {name: [] for name in processes}
    start, ours, all_ = time.perf_counter(), used(), timing.busy_seconds()
    for order in timing.schedule(list(processes), rounds, seed):
        for name in order:
            times[name].append(processes[name].take_turn())
    all_after = timing.busy_seconds()
    if all_ is None or all_after is None:
        return times, None
    others = all_after - all_ - (used() - ours)
    return times, max(0.0, others / (time.perf_counter() - start))


def _row(candidate, rounds, speed, batch_size):
    """Return a row of the result.

    Args:
        candidate: whose row it is.
        rounds: for each round, the seconds of its calls.
        speed: its `timing.Interval`.
        batch_size: samples a call.
    """
    calls = [seconds for calls in rounds for seconds in calls]
    p50 = timing.percentile(calls, 50)
    return {
        "name": candidate.name,
        **candidate.facts,
        "p50_ms": p50 * 1e3,
        "p90_ms": timing.percentile(calls, 90) * 1e3,
        "samples_per_second": batch_size / p50,
        "speed": speed.median,
        "speed_low": speed.low,
        "speed_high": speed.high,
    }
