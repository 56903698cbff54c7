"""benchmark: real runs of a tiny bundle, and figures that are made up."""

import json
import os
import shutil
import subprocess
import sys
import time
from statistics import median

import pytest

from keras_inception_export.benchmarking import candidates as candidates
from keras_inception_export.benchmarking import run as benchmarking
from keras_inception_export.benchmarking import statistics as timing
from keras_inception_export.cli import main
from keras_inception_export.cli import tables as display
from tests.helpers.format_cases import small_model
from tests.helpers.numeric import randomize

KEYS = [
    "name",
    "format",
    "quantization",
    "bytes",
    "error",
    "agreement",
    "accuracy",
    "p50_ms",
    "p90_ms",
    "samples_per_second",
    "speed",
    "speed_low",
    "speed_high",
]


@pytest.fixture(scope="module")
def small(saved, tmp_path_factory):
    """A bundle with the `.keras` file that it was made from."""
    folder = tmp_path_factory.mktemp("benchmark") / "small"
    words = ["export", saved, "--output", folder, "--format", "tflite,onnx"]
    assert main([*map(str, words)]) == 0
    return folder


@pytest.fixture
def measured(small, tmp_path):
    """A copy of the bundle whose export measured its artifacts."""
    folder = shutil.copytree(small, tmp_path / "measured")
    report = json.loads((folder / "report.json").read_text())
    report["evaluation"] = {"keras_accuracy": {"kind": 0.9, "other": None}}
    report["artifacts"][1] |= {
        "quantization": "int8",
        "measured": [
            {"max_error": 0.02, "agreement": 0.99, "accuracy": 0.875},
            {"max_error": 0.01, "agreement": 0.97, "accuracy": None},
        ],
    }
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def test_everything_beside_keras(measured, capfd):
    words = ["benchmark", measured, "--batch-size", 4, "--rounds", 6]
    words += ["--threads", 1, "--against", "keras", "--json"]
    assert main([*map(str, words)]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    result = json.loads(shown.out)

    rows = {row["name"]: row for row in result["rows"]}
    assert list(rows) == [
        "Keras",
        "tflite",
        "onnx int8",
        "saved_model by Keras",
        "tflite by Keras",
        "onnx by Keras",
    ]
    assert result["baseline"] == "Keras" and result["not_run"] == []
    assert (result["batch_size"], result["threads"]) == (4, 1)
    assert result["images"] is True
    assert result["conclusive"] == (not result["doubts"])
    for row in rows.values():
        assert list(row) == KEYS
        assert 0 < row["p50_ms"] <= row["p90_ms"]
        assert row["samples_per_second"] == pytest.approx(4000 / row["p50_ms"])
        assert row["speed_low"] <= row["speed"] <= row["speed_high"]
        assert row["bytes"] > 1000
    # Keras's Python alone takes longer than a runtime for a model this small.
    assert rows["Keras"]["speed"] == 1 and rows["onnx int8"]["speed"] > 2

    report = json.loads((measured / "report.json").read_text())
    (parity,) = report["artifacts"][0]["parity"]
    figures = ("error", "agreement", "accuracy")
    assert [[rows[name][key] for key in figures] for name in rows] == [
        [parity["keras_max_error"], None, 0.9],
        [parity["max_error"], None, None],
        [0.02, 0.97, 0.875],
        *[[None] * 3] * 3,
    ]


def test_what_cannot_be_run_is_said(small, tmp_path, capfd, monkeypatch):
    """LiteRT is missing, and the model is where it was no more."""
    (tmp_path / "ai_edge_litert.py").write_text("raise ImportError('none')")
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    monkeypatch.setenv("PYTHONPATH", paths)
    folder = shutil.copytree(small, tmp_path / "small")
    report = json.loads((folder / "report.json").read_text())
    report["model"]["keras_path"] = "gone.keras"
    (folder / "report.json").write_text(json.dumps(report))

    assert main(["benchmark", str(folder), "--rounds", "6"]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    table = {line.split()[0]: line for line in shown.out.splitlines() if line}
    assert table["Keras"].split(maxsplit=1)[1] == (
        "-  gone.keras is not there; name its file with --keras FILE"
    )
    assert "pip install ai-edge-litert" in table["tflite"]
    assert table["speed:"].startswith("speed: as a multiple of onnx's")
    assert "Measure  6 rounds, about 1 s" in shown.out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    (
        (["--rounds", 5], 2, "rounds must be at least 6, got 5"),
        (["--threads", 0], 2, "threads must be at least 1, got 0"),
        (["--batch-size", 0], 2, "samples in a batch must be at least 1"),
        (["--keras", "none.keras"], 2, "none.keras does not exist"),
        (["--keras", "other.keras"], 2, "is another model than the bundle's"),
        (["--against", "keras"], 2, "--against keras needs the model's"),
    ),
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_wrong_request(
    words, code, message, small, tmp_path, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if "other.keras" in words:
        randomize(small_model(), seed=1).save("other.keras")
    folder = shutil.copytree(small, tmp_path / "small")
    report = json.loads((folder / "report.json").read_text())
    report["model"]["keras_path"] = None
    (folder / "report.json").write_text(json.dumps(report))
    assert main(["benchmark", "small", *map(str, words)]) == code
    shown = capfd.readouterr().err
    assert message in shown and shown.count("\n") == 1


def test_changed_artifact_is_refused(small, tmp_path, capfd):
    folder = shutil.copytree(small, tmp_path / "small")
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"!")
    assert main(["benchmark", str(folder)]) == 1
    assert "its hash differs" in capfd.readouterr().err


def test_fixed_batch_size():
    report = {"artifacts": [{"inputs": [{"shape": [3, 8]}]}]}
    assert benchmarking._batch_size(report, None) == 3
    with pytest.raises(benchmarking.RequestError, match="fixed batch size 3"):
        benchmarking._batch_size(report, 4)


def test_keras_onnx_of_a_large_model_is_not_tried():
    assert candidates._formats(20_000_000)[1] is None
    formats, absence = candidates._formats(132_084_920)
    assert formats == ["saved_model", "tflite"]
    assert "fifty times the memory" in absence.reason
    assert "26 GB" in absence.reason


class Recorder:
    """A candidate that notes its turns."""

    used = 0.0

    def __init__(self, name, turns):
        self.name, self.turns = name, turns

    def take_turn(self):
        self.turns.append(self.name)
        return [1.0]


def turns_of(seed):
    turns = []
    names = ["a", "b", "c", "d"]
    recorders = {name: Recorder(name, turns) for name in names}
    times, others = benchmarking._measure(recorders, 12, seed)
    assert times == {name: [[1.0]] * 12 for name in names}
    return [tuple(turns[i : i + 4]) for i in range(0, 48, 4)]


def test_rounds_are_interleaved_in_a_seeded_order():
    rounds = turns_of(7)
    assert all(sorted(order) == ["a", "b", "c", "d"] for order in rounds)
    assert len(set(rounds)) > 6
    assert turns_of(7) == rounds and turns_of(8) != rounds


@pytest.mark.parametrize(
    ("number", "low"), ((6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (50, 18))
)
def test_interval_of_the_median(number, low):
    """Ranks from the tables of the sign test."""
    interval = timing.median_interval(range(number, 0, -1))
    assert interval.low == low and interval.high == number + 1 - low
    assert interval.median == median(range(1, number + 1))


def test_speed_is_a_ratio_within_the_round():
    """A round in which everything is slow changes nothing."""
    slow = [1.0, 1.0, 9.0, 1.0, 1.0, 30.0]
    times = {
        "base": [[0.3 * s, 0.4 * s, 0.5 * s] for s in slow],
        "fast": [[0.1 * s] for s in slow],
    }
    ratios = timing.speeds(times, "base")
    assert ratios["base"] == timing.Interval(1, 1, 1)
    fast = ratios["fast"]
    assert (fast.low, fast.median, fast.high) == pytest.approx((4, 4, 4))


STEADY = {
    "Keras": timing.Interval(1, 1, 1),
    "onnx": timing.Interval(3, 2.9, 3.1),
}


def test_a_quiet_machine_raises_no_doubt(monkeypatch):
    monkeypatch.setattr(timing, "cores_allowed", lambda: (0, 1))
    assert timing.doubts(STEADY, 0.05, 2) == []
    assert timing.doubts(STEADY, 0.9, 1) == []  # one core is left for it
    assert timing.doubts(STEADY, None, 2) == []


def test_a_noisy_machine_raises_doubts(monkeypatch):
    monkeypatch.setattr(timing, "cores_allowed", lambda: (0, 1))
    assert timing.doubts(STEADY, 0.9, 2) == [
        "other programs kept 0.9 of 2 cores busy, which left too little for "
        "--threads 2"
    ]
    loose = STEADY | {"tflite": timing.Interval(3, 2.5, 3.5)}
    assert timing.doubts(loose, 0.0, 2) == [
        "the speed of tflite is known to 17% only"
    ]


def test_another_program_is_noticed():
    """Two cores' worth of work beside: the machine says so."""
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in timing.cores_allowed()
    ]
    try:
        recorder = Recorder("sleeper", [])
        recorder.take_turn = lambda: time.sleep(0.1) or [0.1]
        _, others = benchmarking._measure({"sleeper": recorder}, 6, 0)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert others > 0.5 * len(busy)


def result_of(**changes):
    row = dict.fromkeys(KEYS) | {"name": "Keras", "bytes": 34_200_000}
    row |= {"p50_ms": 57.26, "p90_ms": 123.4, "samples_per_second": 17.46}
    row |= {"speed": 1.0, "speed_low": 1.0, "speed_high": 1.0, "error": 6e-7}
    fast = row | {"name": "tflite int8", "p50_ms": 0.01234, "speed": 4.7}
    fast |= {"speed_low": 4.6, "speed_high": 4.84, "agreement": 0.9965}
    return {
        "model": {"name": "hybrid", "parameters": 8442064},
        "machine": {"processor": "a processor", "cores": 2},
        "images": True,
        "batch_size": 1,
        "threads": 2,
        "rounds": 20,
        "baseline": "Keras",
        "rows": [row, fast],
        "not_run": [{"name": "onnx", "reason": "no ONNX Runtime"}],
        "doubts": [],
        "conclusive": True,
        **changes,
    }


TABLE = """
hybrid, 8,442,064 parameters, batch 1, threads 2
a processor, 2 cores

                size  p50 ms  p90 ms  images/s   speed           error  agreement  accuracy
Keras        34.2 MB    57.3     123      17.5    1.00         6.0e-07          -         -
tflite int8  34.2 MB  0.0123     123      17.5    4.70 ± 0.12  6.0e-07     99.65%         -
onnx         -  no ONNX Runtime

speed: as a multiple of Keras's, the median of 20 rounds ± half its 95 % interval

Fastest: tflite int8, 4.70 times as fast as Keras."""  # noqa: E501


def test_table():
    assert display.benchmark(result_of()) == TABLE
    doubts = ["other programs kept 0.9 of 2 cores busy"]
    noisy = display.benchmark(result_of(conclusive=False, doubts=doubts))
    assert noisy.splitlines()[-3:] == [
        "Too noisy to conclude:",
        "- other programs kept 0.9 of 2 cores busy",
        "Let nothing else run, or ask for more --rounds.",
    ]
