"""benchmark: runs of a bundle made by hand, its artifact beside Keras.

Its model is one dense layer, in ONNX and in Keras.
"""

import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from benchmarks import keras_exports
from keras_inception_export.benchmarking import measurement, run
from keras_inception_export.benchmarking.keras_baseline import open_model
from keras_inception_export.bundle import bundle
from keras_inception_export.cli import main
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.formats.registry import format_of
from keras_inception_export.verification.probes import Probes
from tests.helpers.documents import parse_document
from tests.helpers.reports import PARITY, make_artifact, make_report

KEYS = [
    *("name", "format", "quantization", "bytes", "error", "agreement"),
    *("accuracy", "p50_ms", "p90_ms", "samples_per_second", "speed"),
    *("speed_low", "speed_high"),
]
SPEC = TensorSpec("pixels", (None, 8), "float32")
OUTPUT = TensorSpec("scores", (None, 3), "float32")
KERNEL = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")


def write_onnx(path):
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 18]>
        dense (float[n, 8] pixels) => (float[n, 3] scores) {
            scores = MatMul(pixels, kernel)
        }"""
    )
    kernel = onnx.numpy_helper.from_array(KERNEL, "kernel")
    model.graph.initializer.append(kernel)
    onnx.save(model, path)


def save_keras(path, kernel=KERNEL):
    import keras

    pixels = keras.Input((len(kernel),), name="pixels")
    dense = keras.layers.Dense(3, use_bias=False, name="scores")
    model = keras.Model(pixels, dense(pixels))
    dense.set_weights([kernel])
    model.save(path)
    return path


def artifact(folder, name):
    path = folder / name
    parity = {
        **PARITY,
        "output": OUTPUT.name,
        "max_error": 1e-7,
        "keras_max_error": 2e-7,
    }
    return make_artifact(
        format=path.suffix[1:],
        **bundle.entry(folder, name),
        bytes=format_of(path).nbytes(path),
        inputs=[SPEC.as_json()],
        outputs=[OUTPUT.as_json()],
        parity=[parity],
    )


def make_probes():
    generator = np.random.default_rng(0)
    feeds = [
        {"pixels": generator.normal(size=(size, 8)).astype("float32")}
        for size in (1, 3, 7)
    ]
    reference = [{"scores": f["pixels"].astype("f8") @ KERNEL} for f in feeds]
    keras = [{"scores": f["pixels"] @ KERNEL} for f in feeds]
    parts = tuple(feeds), tuple(reference), tuple(keras)
    return Probes(*parts, ("expected",) * 3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "dense"
    folder.mkdir()
    write_onnx(folder / "model.onnx")
    make_probes().save(folder / bundle.PROBES)
    report = make_report(
        artifact(folder, "model.onnx"),
        model={"name": "dense", "parameters": 24, "keras_path": None},
    )
    report["probes"] |= bundle.entry(folder, bundle.PROBES)
    bundle.write_report(folder, report)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the bundle in the working folder, to be changed."""
    return shutil.copytree(made, tmp_path / "dense")


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch, tmp_path):
    monkeypatch.setattr(measurement, "TURN", 0.01)
    monkeypatch.chdir(tmp_path)


def benchmark(folder, *words):
    return main(["benchmark", *map(str, (folder, "--rounds", 6, *words))])


def test_an_artifact_beside_keras(folder, tmp_path, capfd):
    file = save_keras(tmp_path / "dense.keras")
    capfd.readouterr()  # what importing TensorFlow prints
    words = ["--batch-size", 4, "--threads", 1, "--keras", file, "--json"]
    assert benchmark(folder, *words) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    result = parse_document(shown.out)["result"]
    assert [row["name"] for row in result["rows"]] == ["Keras", "onnx"]
    assert result["baseline"] == "Keras" and result["not_run"] == []
    assert (result["batch_size"], result["threads"]) == (4, 1)
    assert result["images"] is False
    assert result["conclusive"] == (not result["doubts"])
    assert result["rows"][0]["speed"] == 1
    for row, error in zip(result["rows"], (2e-7, 1e-7), strict=True):
        assert list(row) == KEYS and row["error"] == error
        assert 0 < row["p50_ms"] <= row["p90_ms"]
        assert row["samples_per_second"] == pytest.approx(4000 / row["p50_ms"])
        assert row["speed_low"] <= row["speed"] <= row["speed_high"]


def test_what_cannot_be_run_is_reported(folder, tmp_path, capfd, monkeypatch):
    """LiteRT is missing, and the bundle names no `.keras` file."""
    (tmp_path / "ai_edge_litert.py").write_text(
        "raise ModuleNotFoundError('none', name='ai_edge_litert')"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    monkeypatch.setenv("PYTHONPATH", paths)
    (folder / "model.tflite").write_text("never opened")
    report = bundle.read_report(folder)
    report["artifacts"].append(artifact(folder, "model.tflite"))
    bundle.write_report(folder, report)

    assert benchmark(folder) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    table = {line.split()[0]: line for line in shown.out.splitlines() if line}
    assert "made from a live model; name its file" in table["Keras"]
    assert "pip install ai-edge-litert" in table["tflite"]
    assert table["speed:"].startswith("speed: as a multiple of onnx's")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    (
        (["--rounds", 5], 2, "rounds must be at least 6, got 5"),
        (["--threads", 0], 2, "threads must be at least 1, got 0"),
        (["--batch-size", 0], 2, "samples in a batch must be at least 1"),
        (["--keras", "none.keras"], 2, "none.keras does not exist"),
        ([], 1, "its hash differs"),
    ),
    ids=["rounds", "threads", "batch size", "keras", "changed"],
)
def test_a_wrong_request_is_one_line(words, code, message, folder, capfd):
    if code == 1:
        (folder / "model.onnx").write_bytes(b"!")
    assert benchmark(folder, *words) == code
    shown = capfd.readouterr().err
    assert message in shown and shown.count("\n") == 1


def test_a_damaged_artifact_is_named(folder):
    """It is the published file, but its runtime refuses it."""
    (folder / "model.onnx").write_bytes(b"!")
    report = bundle.read_report(folder)
    report["artifacts"] = [artifact(folder, "model.onnx")]
    bundle.write_report(folder, report)
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        run.benchmark(folder, rounds=6)


def test_relative_latency(folder):
    copy = shutil.copy(folder / "model.onnx", folder / "copy.onnx")
    probes = folder / bundle.PROBES
    assert run.relative_latency(copy, folder / "model.onnx", probes) > 0


def test_batch_size():
    free, fixed = (
        {"artifacts": [{"inputs": [{"shape": [size, 8]}]}]}
        for size in (None, 3)
    )
    assert run._batch_size(free, None) == 1
    assert run._batch_size(fixed, None) == run._batch_size(fixed, 3) == 3
    with pytest.raises(RequestError, match="fixed batch size 3, got 4"):
        run._batch_size(fixed, 4)


def test_the_announcement_counts_slow_calls(monkeypatch):
    """A turn has at least two calls: (0.2 + 2 x 1) x 10 seconds."""
    monkeypatch.setattr(measurement, "TURN", 0.2)
    processes = [SimpleNamespace(latency=s) for s in (0.001, 1.0)]
    announcement = run._announcement(processes, 10)
    assert announcement == "Measure  10 rounds, about 22 s"


def test_the_worker_of_a_benchmark_opens_artifacts_itself(folder, monkeypatch):
    """`benchmarks/latency.py` measures Keras's own exports beside ours."""
    runs = []
    opener = {"onnx": lambda path, array, threads: lambda: runs.append(array)}
    monkeypatch.setattr(keras_exports, "_OPENERS", opener)
    probes = str(folder / bundle.PROBES)
    keras_exports.Worker().open("x.onnx", "onnx", probes, 2, 1)
    np.testing.assert_array_equal(
        runs[0], make_probes().feeds[-1]["pixels"][:2]
    )


def test_the_keras_baseline_predicts(tmp_path):
    pixels = np.ones((2, 8), "float32")
    file = str(save_keras(tmp_path / "dense.keras"))
    predict = open_model(file, (), {"pixels": pixels}, make_probes())
    np.testing.assert_allclose(predict(), pixels @ KERNEL, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (KERNEL * np.float32(1.1), r"differ by 0.1 of the largest"),
        (KERNEL * np.float32(np.nan), "differ by nan"),
        (KERNEL[:5], "cannot be its baseline"),
    ],
)
def test_another_keras_model_is_refused(kernel, message, tmp_path):
    file = save_keras(tmp_path / "other.keras", kernel)
    with pytest.raises(RequestError, match=f"not the model .*{message}"):
        open_model(str(file), (), {}, make_probes())
