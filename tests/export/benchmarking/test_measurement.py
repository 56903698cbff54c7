"""Turns of candidates that only record them."""

import math
from types import SimpleNamespace

import pytest

from keras_inception_export.benchmarking import measurement
from keras_inception_export.errors import ArtifactError


class Recorder:
    """A candidate that records its turns, each of one processor second."""

    def __init__(self, name, turns):
        self.name, self.turns, self.used = name, turns, 0.0

    def take_turn(self):
        self.turns.append(self.name)
        self.used += 1.0
        return [0.5]


def measure(seed):
    turns = []
    recorders = {name: Recorder(name, turns) for name in "abcd"}
    times, others = measurement.measure(recorders, 12, seed)
    assert times == {name: [[0.5]] * 12 for name in "abcd"}
    return [tuple(turns[i : i + 4]) for i in range(0, 48, 4)], others


def test_rounds_are_interleaved_in_a_seeded_order():
    rounds, _ = measure(7)
    assert all(sorted(order) == list("abcd") for order in rounds)
    assert measure(7)[0] == rounds != measure(8)[0] and len(set(rounds)) > 6


@pytest.mark.parametrize(
    ("busy", "others"),
    [((0, 149), 1), ((5, 54), 0), ((0, 48.9), 0), ((0, math.nan), None)],
)
def test_load_of_other_programs(busy, others, monkeypatch):
    """In 100 seconds the recorders use 48, and this process one.

    The kernel counts in ticks, so that these may seem to be more.
    """
    clock, own, machine = iter((0, 100)), iter((0, 1)), iter(busy)
    times = SimpleNamespace(
        perf_counter=lambda: next(clock), process_time=lambda: next(own)
    )
    monkeypatch.setattr(measurement, "time", times)
    monkeypatch.setattr(measurement, "busy_seconds", lambda: next(machine))
    assert measure(0)[1] == others


def test_a_worker_that_crashes_is_an_artifact_error():
    process = measurement.CandidateProcess("onnx", 1, "missing_worker")
    with process, pytest.raises(ArtifactError, match="onnx cannot be measured"):
        process.take_turn()
