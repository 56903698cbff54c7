"""Measure every artifact of a bundle beside Keras, on this machine.

This process opens no runtime: each candidate has a child process, which
computes only in its turns.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export import errors
from keras_inception_export.benchmarking import measurement, statistics
from keras_inception_export.benchmarking.candidates import (
    Candidate,
    artifact_candidate,
    keras_candidate,
)
from keras_inception_export.benchmarking.machine import cores_allowed, processor
from keras_inception_export.benchmarking.measurement import CandidateProcess
from keras_inception_export.bundle import bundle
from keras_inception_export.formats.registry import format_of
from keras_inception_export.logs import logger, progress_to
from keras_inception_export.verification.probes import Probes

MIN_ROUNDS = 6
"""With fewer rounds, their spread says nothing."""


def benchmark(
    folder: str | Path,
    *,
    batch_size: int | None = None,
    threads: int | None = None,
    rounds: int = 20,
    keras_file: str | Path | None = None,
    modules: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measure how fast the artifacts of a bundle and Keras itself are.

    Each candidate runs in its own process, on the CPU. In each round every
    candidate has one turn, in random order, while the others are idle. A turn
    lasts a fifth of a second or two calls, whichever is longer; its first call
    does not count. The speed is the median over the rounds of the ratio within
    a round.

    Args:
        folder: a bundle that `export_model` wrote.
        batch_size: samples per call. Defaults to the artifacts' own, or 1.
        threads: threads of each candidate. Defaults to the number of cores.
        rounds: turns of each candidate, at least 6. Defaults to `20`.
        keras_file: the `.keras` file of the model. Defaults to the one that
            the bundle was made from.
        modules: modules to import for the file's custom layers. Defaults to
            `()`.
        seed: seed of the order of turns. Defaults to `0`.
        progress: called with one line of text per step. Defaults to `None`.

    Returns:
        A dictionary with `bundle`, `model`, `machine`, `images` (whether the
        first input is a batch of images), `batch_size`, `threads`,
        `rounds`, `seed`, `baseline` (the row of speed 1), `rows`, `not_run`,
        `others_busy` (cores that other programs kept busy; `None` if
        unknown), `doubts` and `conclusive`. Each row has `name`, `format`,
        `quantization`, `bytes`, `p50_ms`, `p90_ms`, `samples_per_second`,
        `speed`, `speed_low` and `speed_high` (a 95 % interval), `error`,
        `agreement` and `accuracy`; what was not measured is `None`.

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
    threads = len(cores_allowed()) if threads is None else threads
    batch_size = _batch_size(report, batch_size)
    _check_at_least("threads", threads, 1)
    _check_at_least("rounds", rounds, MIN_ROUNDS)
    options = {
        "probes": bundle.published(folder, report, "probes"),
        "batch_size": batch_size,
        "threads": threads,
        "modules": list(modules),
    }
    with ExitStack() as stack:
        stack.enter_context(progress_to(progress))
        candidates = [
            keras_candidate(report, keras_file),
            *(artifact_candidate(folder, x) for x in report["artifacts"]),
        ]
        running, missing = _open_all(candidates, options, stack)
        if not running:
            reasons = "; ".join(map(": ".join, missing.items()))
            raise errors.RequestError(
                f"nothing can be measured here: {reasons}"
            )
        logger.info(_announcement(running.values(), rounds))
        times, others = measurement.measure(running, rounds, seed)
    baseline = next(iter(times))
    ratios = statistics.speeds(times, baseline)
    cores = len(cores_allowed())
    doubts = statistics.find_doubts(ratios, others, threads, cores)
    return {
        "bundle": str(folder),
        "model": report["model"],
        "machine": {"processor": processor(), "cores": cores},
        "images": len(report["artifacts"][0]["inputs"][0]["shape"]) == 4,
        "batch_size": batch_size,
        "threads": threads,
        "rounds": rounds,
        "seed": seed,
        "baseline": baseline,
        "rows": [
            _row(candidate, times[candidate.name], ratios, batch_size)
            for candidate in candidates
            if candidate.name in running
        ],
        "not_run": [{"name": x, "reason": y} for x, y in missing.items()],
        "others_busy": others,
        "doubts": doubts,
        "conclusive": not doubts,
    }


def relative_latency(path: Path, baseline: Path, probes: Path) -> float:
    """Return an artifact's latency as a multiple of another one's.

    It is measured like a benchmark, in the fewest rounds and on all cores,
    with one sample per call where the batch size is free.
    """
    threads = len(cores_allowed())
    batch_size = Probes.load(probes).fixed_batch or 1
    with ExitStack() as stack:
        processes = {}
        for name, file in (("this", path), ("baseline", baseline)):
            process = stack.enter_context(CandidateProcess(name, threads))
            process.open(
                path=file,
                format_name=format_of(file).name,
                probes=probes,
                batch_size=batch_size,
                threads=threads,
            )
            processes[name] = process
        times, _ = measurement.measure(processes, MIN_ROUNDS, seed=0)
    return 1 / statistics.speeds(times, "baseline")["this"].median


def _check_at_least(name: str, value: int, minimum: int) -> None:
    if value < minimum:
        raise errors.RequestError(
            f"the number of {name} must be at least {minimum}, got {value}"
        )


def _batch_size(report: Mapping[str, Any], requested: int | None) -> int:
    """Return the number of samples per call."""
    fixed = report["artifacts"][0]["inputs"][0]["shape"][0]
    if requested is None:
        return fixed or 1
    _check_at_least("samples in a batch", requested, 1)
    if fixed not in (None, requested):
        raise errors.RequestError(
            f"the artifacts have the fixed batch size {fixed}, got {requested}"
        )
    return requested


def _open_all(
    candidates: Sequence[Candidate],
    options: Mapping[str, Any],
    stack: ExitStack,
) -> tuple[dict[str, CandidateProcess], dict[str, str]]:
    """Start the processes of the candidates; return why others cannot run."""
    running, missing = {}, {x.name: x.missing for x in candidates if x.missing}
    for candidate in candidates:
        if candidate.missing:
            continue
        logger.info("Open  %s", candidate.name)
        process = CandidateProcess(candidate.name, options["threads"])
        stack.enter_context(process)
        try:
            process.open(
                path=candidate.path, format_name=candidate.format, **options
            )
            running[candidate.name] = process
        except errors.ExportError as error:
            installed = not isinstance(error, errors.RuntimeMissingError)
            if candidate.required and installed:
                raise
            missing[candidate.name] = str(error)
    return running, missing


def _announcement(processes: Iterable[CandidateProcess], rounds: int) -> str:
    turns = (max(measurement.TURN, 2 * p.latency) for p in processes)
    return f"Measure  {rounds} rounds, about {rounds * sum(turns):.0f} s"


def _row(
    candidate: Candidate,
    rounds: Sequence[Sequence[float]],
    ratios: Mapping[str, statistics.Interval],
    batch_size: int,
) -> dict[str, Any]:
    """Return a row of the result."""
    p50, p90 = np.percentile(np.concatenate(rounds), (50, 90)).tolist()
    speed = ratios[candidate.name]
    return {
        "name": candidate.name,
        **candidate.facts,
        "p50_ms": p50 * 1e3,
        "p90_ms": p90 * 1e3,
        "samples_per_second": batch_size / p50,
        "speed": speed.median,
        "speed_low": speed.low,
        "speed_high": speed.high,
    }
