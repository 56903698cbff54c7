"""The subcommand `predict` on a model of a few bytes."""

import csv
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from keras_inception_export.bundle.bundle import sha256_of, write_report
from keras_inception_export.cli import main
from keras_inception_export.cli.layout import columns
from keras_inception_export.prediction import pipeline
from keras_inception_export.prediction.pipeline import Pipeline
from tests.helpers.brightness import (
    png,
    scores,
    write_brightness,
    write_images,
    write_tar,
)
from tests.helpers.documents import parse_document
from tests.helpers.reports import make_artifact, make_report
from tests.helpers.terminal import COMMAND, run_on_terminal


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_brightness(folder / "model.onnx")
    write_brightness(folder / "silent.onnx", known=False)
    return folder


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "in", 50)
    return tmp_path / "in"


def predict(*words):
    return main(["predict", *map(str, words)])


def test_the_artifact_says_how_pixels_become_inputs(models, tmp_path, capfd):
    (tmp_path / "one.png").write_bytes(png(204))
    assert predict(models / "model.onnx", tmp_path / "one.png") == 0
    assert capfd.readouterr() == (
        "one.png  scores  bright 0.8000  grey, or\\nso 0.4000  dark 0.2000\n",
        "",
    )


@pytest.mark.parametrize(
    ("inputs", "shown"),
    [
        (["in/a/000.png"], ["000.png"]),
        (["in/a"], ["000.png", "002.png"]),
        (["in"], ["a/000.png", "a/002.png", "b/001.png"]),
        (["in/**/00[01].png"], ["a/000.png", "b/001.png"]),
        (["in/b", "in/a/000.png"], ["b/001.png", "a/000.png"]),
        (["in/b", "x.npy"], ["in/b/001.png", "x.npy"]),
        (["x.tar"], ["0.png"]),
        (["{}/in/b"], ["001.png"]),
        (["{}/in/b", "x.npy"], ["{}/in/b/001.png", "x.npy"]),
    ],
    ids=str,
)
def test_names_are_short_but_different(
    inputs, shown, models, tmp_path, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "in", 3)
    write_tar(tmp_path / "x.tar", {"0.png": png(9)})
    np.save("x.npy", np.zeros((1, 4, 4, 1), "float32"))
    words = [x.format(tmp_path) for x in inputs]
    assert predict(models / "model.onnx", *words) == 0
    lines = capfd.readouterr().out.splitlines()
    names = [line.partition("  ")[0] for line in lines]
    assert names == [x.format(tmp_path) for x in shown]


def test_wide_characters_are_aligned(models, tmp_path, capfd):
    for name in ("日本", "e\u0301", "abcdef"):
        (tmp_path / f"{name}.png").write_bytes(png(9))
    assert predict(models / "model.onnx", tmp_path) == 0
    lines = capfd.readouterr().out.splitlines()
    assert {columns(x.partition("scores")[0]) for x in lines} == {12}


def test_it_asks_where_the_artifact_does_not_say(models, tmp_path, capfd):
    (tmp_path / "one.png").write_bytes(png(204))
    command = [models / "silent.onnx", tmp_path / "one.png"]
    assert predict(*command) == 2
    shown = capfd.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert "become its input; give --preprocess none|unit" in shown.err
    for answer in (["--preprocess", "unit"], ["--pixel-scale", "1/255"]):
        assert predict(*command, *answer) == 0
        assert " class 0 0.8000  class 2 0.4000" in capfd.readouterr().out
    assert predict(*command, "--pixel-scale", "1", "--preprocess", "tf") == 2
    assert "give one of them" in capfd.readouterr().err


def test_unlike_inputs_are_reported_once(models, images, capfd):
    assert predict(models / "model.onnx", images, "--preprocess", "none") == 0
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1 and "was verified on 0 to 1" in lines[0]


def test_damaged_images_do_not_stop_the_others(models, images, capfd):
    (images / "a" / "bad.png").write_bytes(png(1)[:50])
    (images / "b" / "bad.png").write_text("no image")
    assert predict(models / "model.onnx", images) == 1
    shown = capfd.readouterr()
    assert len(shown.out.splitlines()) == 52
    assert shown.out.count("bad.png  error: ") == 2
    assert shown.err.count("\n") == 1
    assert "2 of 52 inputs have no result, the first one because" in shown.err


def test_nothing_but_damaged_images(models, tmp_path, capfd):
    for name in "ab":
        (tmp_path / f"{name}.png").write_text("no image")
    output = tmp_path / "out.csv"
    assert predict(models / "model.onnx", tmp_path, "--output", output) == 2
    assert capfd.readouterr().err.endswith("TIFF (and 1 others)\n")
    assert output.read_text().count("cannot identify image file") == 2


def test_the_first_results_of_a_file_are_shown(models, images, capfd):
    output = images.parent / "out.csv"
    assert predict(models / "model.onnx", images, "--output", output) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 11 and lines[-1] == f"50 results are in {output}"
    with open(output, newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    values = np.array([int(row["name"][-7:-4]) * 5 for row in rows]) / 255
    best = [float(row["scores_score_1"]) for row in rows]
    np.testing.assert_allclose(best, scores(values).max(axis=1), atol=1e-6)


def test_the_reader_of_the_output_ends_early(models, images):
    words = [*COMMAND, "predict", *map(str, (models / "model.onnx", images))]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)


def test_json(models, images, capfd):
    (images / "c.png").write_text("no image")
    command = [models / "model.onnx", f"{images}/*.png", f"{images}/a/00*"]
    assert predict(*command, "--json") == 1
    found = parse_document(capfd.readouterr().out)["result"]
    names = [f"{images}/a/00{i}.png" for i in (0, 2, 4, 6, 8)]
    assert found["samples"] == names
    expected = scores(np.arange(0, 50, 10) / 255)
    np.testing.assert_allclose(found["outputs"]["scores"], expected, atol=1e-6)
    assert list(found["errors"]) == [f"{images}/c.png"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_interrupted_run_is_resumed(
    suffix, models, images, capfd, monkeypatch
):
    monkeypatch.setattr(pipeline, "MAX_BATCH", 16)
    (images / "b" / "bad.png").write_text("no image")
    command = [models / "model.onnx", images, "--output"]
    whole, output = (images.parent / f"{x}{suffix}" for x in ("whole", "out"))
    assert predict(*command, whole) == 1
    load, loaded = Pipeline._load, []

    def interrupted(self, part):
        loaded.extend(part)
        if part[0].name.endswith("064.png") or len(loaded) > 32:
            raise KeyboardInterrupt
        return load(self, part)

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "_load", interrupted)
        assert predict(*command, output) == 130
    done = output.read_bytes()
    shown = capfd.readouterr().err
    assert f"interrupted; go on with --output {output} --resume\n" in shown
    assert 16 <= done.count(b"\n") < 51 and whole.read_bytes().startswith(done)
    output.write_bytes(done[:-10])
    capfd.readouterr()
    assert predict(*command, output, "--resume") == 1
    assert output.read_bytes() == whole.read_bytes()
    assert "1 of 51 inputs have no result" in capfd.readouterr().err
    assert predict(*command, output, "--resume") == 1
    assert output.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_an_interrupted_run_leaves_the_last_file(
    suffix, models, images, monkeypatch
):
    """Also where a link leads to it."""
    output = images.parent / f"out{suffix}"
    output.symlink_to(images.parent / f"real{suffix}")
    command = [models / "model.onnx", images, "--output", output]
    assert predict(*command) == 0
    output.chmod(0o640)
    assert predict(*command) == 0
    assert output.stat().st_mode & 0o777 == 0o640
    whole = output.read_bytes()
    found = os.listdir(images.parent)

    def interrupted(self, part):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "_load", interrupted)
        assert predict(*command) == 130
    assert output.is_symlink() and output.read_bytes() == whole
    assert os.listdir(images.parent) == found
    monkeypatch.setattr(os, "replace", lambda *_: os.open("/none/x", 0))
    assert predict(*command) == 2
    assert output.read_bytes() == whole


@pytest.mark.parametrize(
    ("suffix", "words"),
    [(".csv", ["--pixel-scale", "1/256"]), (".jsonl", ["--top", "1"])],
)
def test_other_results_are_not_resumed(
    suffix, words, models, images, capfd, monkeypatch
):
    monkeypatch.setattr(pipeline, "MAX_BATCH", 16)
    output = images.parent / f"out{suffix}"
    command = [models / "model.onnx", images, "--output", output]
    assert predict(*command) == 0
    whole = output.read_bytes()
    assert predict(*command, "--resume", *words) == 2
    assert "has other results for its last rows" in capfd.readouterr().err
    assert output.read_bytes() == whole
    # As another processor may round.
    output.write_bytes(re.sub(rb"(\.\d{6})\d+", rb"\1", whole))
    assert output.read_bytes() != whole
    assert predict(*command, "--resume") == 0


def test_arrays_take_no_preprocessing_and_are_not_overwritten(
    models, tmp_path, capfd
):
    path = tmp_path / "x.npz"
    np.savez(path, image=np.zeros((1, 4, 4, 1), "uint8"))
    before = path.read_bytes()
    for words, message in (
        (["--preprocess", "unit"], "arrays are taken as they are"),
        (["--output", path], "x.npz is an input; write another file"),
    ):
        assert predict(models / "model.onnx", path, *words) == 2
        assert message in capfd.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [("a.npz", "an input"), ("probes.npz", "part of a bundle")],
)
def test_files_that_are_needed_are_not_overwritten(
    name, message, models, tmp_path, capfd
):
    (tmp_path / "report.json").touch()
    for file in ("a.npz", "probes.npz"):
        np.savez(tmp_path / file, image=np.zeros((1, 4, 4, 1), "uint8"))
    before = (tmp_path / name).read_bytes()
    words = tmp_path / "?.npz", "--output", tmp_path / name
    assert predict(models / "model.onnx", *words) == 2
    assert f"{name} is {message}; write another" in capfd.readouterr().err
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume"], "--resume needs the --output"),
        (["--output", "x.txt"], "expected a name that ends in .csv"),
        (["--output", "x.parquet", "--resume"], "cannot be continued"),
        (["--output", "none/x.npz"], "none/x.npz cannot be written: No such"),
        ([""], "an input is empty"),
        (["--output", ""], "expected a name that ends in .csv"),
        (["--top", "0"], "--top must be at least 1"),
        (["--preprocess", "torc"], 'did you mean "torch"?'),
        (["--format", "onnx"], "is a single artifact"),
    ],
)
def test_wrong_options(words, message, models, images, capfd, monkeypatch):
    monkeypatch.chdir(images)
    assert predict(models / "model.onnx", "a", *words) == 2
    shown = capfd.readouterr().err
    assert message in shown and shown.count("\n") == 1
    assert sorted(x.name for x in images.iterdir()) == ["a", "b"]


@pytest.fixture
def bundle(models, tmp_path):
    """A bundle with an artifact whose runtime is missing, and two others."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    write_brightness(folder / "model.onnx")
    write_brightness(folder / "model.int8.onnx", known=False)
    (folder / "model.tflite").write_bytes(b"")
    (folder / "model.xml").write_bytes(b"")
    entries = [
        ("tflite", None, "model.tflite"),
        ("onnx", None, "model.onnx"),
        ("onnx", "int8", "model.int8.onnx"),
        ("openvino", None, "model.xml"),
    ]
    artifacts = [
        make_artifact(
            format=name,
            quantization=scheme,
            path=path,
            sha256=sha256_of(folder / path),
        )
        for name, scheme, path in entries
    ]
    write_report(folder, make_report(*artifacts))
    return folder


def test_the_fastest_artifact_of_a_bundle(bundle, images, capfd, monkeypatch):
    for module in ("openvino", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, module, None)
    assert predict(bundle, images / "a") == 0
    assert " bright " in capfd.readouterr().out
    assert predict(bundle, images / "a", "--scheme", "int8") == 2
    assert "model.int8.onnx does not say" in capfd.readouterr().err
    assert predict(bundle, images / "a", "--format", "tflite") == 2
    assert "needs ai-edge-litert" in capfd.readouterr().err
    assert predict(bundle, images / "a", "--format", "saved_model") == 2
    assert "has no saved_model; it has tflite, onnx, onnx int8, openvino" in (
        capfd.readouterr().err
    )


def test_a_progress_bar_on_a_terminal(models, images):
    words = ["predict", models / "model.onnx", images, "--output"]
    code, shown = run_on_terminal([*words, images.parent / "out.csv"])
    assert code == 0 and "50/50" in shown and "images/s" in shown
