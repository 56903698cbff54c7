"""The subcommands that open a bundle or an artifact, and their exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_inception_export.bundle.publication import PREFIX
from keras_inception_export.cli import main
from keras_inception_export.formats.registry import DEFAULT_FORMATS, FORMATS
from tests.helpers.commands import run
from tests.helpers.documents import parse_document
from tests.helpers.numeric import random_images
from tests.helpers.reports import keep_artifacts

PATHS = tuple(FORMATS[name].file_name for name in DEFAULT_FORMATS)


def test_verify(published, capfd):
    assert main(["verify", str(published)]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    assert shown.out.splitlines()[-1] == (
        f"{published}: verified {', '.join(DEFAULT_FORMATS)}"
    )
    assert main(["verify", str(published), "--json"]) == 0
    assert parse_document(capfd.readouterr().out)["result"]["passed"] is True


@pytest.mark.parametrize("path", PATHS)
def test_predict(published, path, tmp_path, capfd):
    np.save(tmp_path / "images.npy", random_images((2, 12, 12, 3)))
    words = [published / path, tmp_path / "images.npy", "--top", 2]
    words += ["--output", tmp_path / "outputs.npz"]
    assert main(["predict", *map(str, words)]) == 0
    with np.load(tmp_path / "outputs.npz") as outputs:
        scores = outputs["kind"]
    best = scores[0].argsort()[::-1][:2]
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "images.npy[0]  kind  " + "  ".join(
        f"class {i} {scores[0][i]:.4f}" for i in best
    )
    assert len(lines) == 2 and scores.shape == (2, 4)


@pytest.mark.parametrize(
    ("name", "message"),
    (
        ("wrong.npy", "expected (samples, 12, 12, 3)"),
        ("nan.npy", "NaN or infinite"),
    ),
)
def test_predict_wrong_input(published, name, message, tmp_path, capfd):
    np.save(tmp_path / "wrong.npy", random_images((2, 10, 12, 3)))
    np.save(tmp_path / "nan.npy", np.full((2, 12, 12, 3), np.nan))
    command = ["predict", published / "model.onnx", tmp_path / name]
    assert main([*map(str, command)]) == 2
    shown = capfd.readouterr().err
    assert message in shown and shown.count("\n") == 1


def test_info(published, saved, capfd):
    for path, expected in (
        (published, "small, 502 parameters"),
        (
            published / "model.onnx",
            "inputs         image: float32 (any, 12, 12, 3)",
        ),
        (
            published / "model.tflite",
            "outputs        kind: float32 (any, 4)",
        ),
        (published / "saved_model", "kind: float32 (any, 4)"),
        (saved, "keras_version  " + keras.__version__),
    ):
        assert main(["info", str(path)]) == 0
        shown = capfd.readouterr()
        assert expected in shown.out and shown.err == ""
        assert main(["info", str(path), "--json"]) == 0
        document = parse_document(capfd.readouterr().out)
        assert document["result"]["path"] == str(path)


def without(*modules):
    """Return the command in an environment that lacks these modules."""
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({modules!r}))\n"
        "from keras_inception_export.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    return [sys.executable, "-c", code]


def test_a_device_with_one_runtime_verifies(published, tmp_path):
    """Without keras and TensorFlow; of the runtimes, LiteRT is missing."""
    command = without("keras", "tensorflow", "ai_edge_litert", "onnx")
    done = run(command, "verify", published)
    assert done.returncode == 0
    signs = {line.split()[1]: line[0] for line in done.stdout.splitlines()[1:4]}
    assert signs == {"saved_model": "-", "tflite": "-", "onnx": "✓"}
    assert "pip install ai-edge-litert" in done.stdout
    assert done.stdout.splitlines()[-1] == f"{published}: verified onnx"
    np.save(tmp_path / "images.npy", random_images((2, 12, 12, 3)))
    for words in (
        ("predict", published / "model.onnx", tmp_path / "images.npy"),
        ("info", published),
        ("info", published / "model.onnx"),
    ):
        assert run(command, *words).returncode == 0


def test_report(tmp_path, capfd, monkeypatch):
    written = []

    def write_report(bundle, output, **options):
        written.append((str(bundle), output, options))
        return tmp_path / "page.html"

    module = "keras_inception_export.report.write.write_report"
    monkeypatch.setattr(module, write_report)
    words = ["--output", "x.html", "--samples", "s", "--benchmark", "b.json"]
    assert main(["report", "bundle", *words, "--json"]) == 0
    document = parse_document(capfd.readouterr().out)
    assert document["result"] == {"path": f"{tmp_path / 'page.html'}"}
    options = {"samples": "s", "benchmark": "b.json"}
    assert written == [("bundle", "x.html", options)]


def test_a_report_that_cannot_be_written_stops_an_export_at_once(
    tmp_path, capfd
):
    (tmp_path / "out.html").write_text("mine")
    words = ["export", "no.keras", "--output", f"{tmp_path / 'out'}"]
    assert main([*words, "--report"]) == 2
    assert "out.html exists and is not such a report" in capfd.readouterr().err


RUNTIMES = ("keras", "tensorflow", "ai_edge_litert", "onnxruntime")


def test_nothing_is_verified_without_a_runtime(published):
    done = run(without(*RUNTIMES), "verify", published, "--json")
    document = parse_document(done.stdout)
    assert (done.returncode, document["result"]["passed"]) == (2, False)
    assert document["error"]["kind"] == "RuntimeMissingError"
    for command, message in (
        ("verify", "no artifact could be run, so nothing is verified"),
        ("diagnose", "no artifact could be examined"),
    ):
        done = run(without(*RUNTIMES), command, published)
        assert done.returncode == 2 and "pip install" in done.stdout
        assert done.stderr.startswith(
            f"keras-inception: {published}: {message}"
        )
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ("verify", "diagnose", "info", "benchmark"))
def test_a_bundle_without_artifacts_is_refused(command, bundle, capfd):
    keep_artifacts(bundle)
    assert main([command, str(bundle)]) == 2
    assert "report.json names no artifact" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PermissionError(13, "Denied", "a/b"), 2, "a/b cannot be used: Denied"),
        (FileNotFoundError(2, "No file"), 2, "the current folder cannot be us"),
        (OSError(5, "I/O error"), 2, "a file cannot be used: I/O error"),
        (KeyError("lost"), 70, "unexpected KeyError: 'lost'"),
    ],
)
def test_what_the_system_refuses_is_no_internal_error(
    error, code, line, published, capfd, monkeypatch
):
    def broken(folder, **options):
        raise error

    monkeypatch.setattr(
        "keras_inception_export.verification.verify.verify", broken
    )
    assert main(["verify", str(published)]) == code
    assert capfd.readouterr().err.startswith(f"keras-inception: {line}")


def test_a_wrong_time_limit_is_no_fault_of_an_artifact(
    published, capfd, monkeypatch
):
    monkeypatch.setenv("KERAS_INCEPTION_TIME_LIMIT", "nan")
    assert main(["verify", str(published)]) == 2
    assert "expected a positive number" in capfd.readouterr().err


def test_temporary_files_of_a_killed_command_are_removed(tmp_path):
    killed = tmp_path / f"{PREFIX}killed"
    (killed / "weights").mkdir(parents=True)
    (killed / "lock").write_text("temporary files")
    words = [sys.executable, "-m", "keras_inception_export", "help"]
    subprocess.run(words, env={**os.environ, "TMPDIR": tmp_path}, check=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="/dev/full is of Linux"
)
def test_the_exit_code_is_right_where_no_line_can_be_written(tmp_path):
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "keras_inception_export", "info"]
        done = subprocess.run([*words, tmp_path], stdout=full, stderr=full)
    assert done.returncode == 2
