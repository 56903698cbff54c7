"""The command: what it prints, its exit codes, and what it imports."""

import importlib
import json
import os
import shutil
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export.cli import main
from keras_inception_export.cli.parser import make_parser
from keras_inception_export.formats.registry import DEFAULT_FORMATS, FORMATS
from tests.helpers.commands import run
from tests.helpers.documents import parse_document
from tests.helpers.numeric import random_images

PATHS = tuple(FORMATS[name].file_name for name in DEFAULT_FORMATS)

COMMANDS = (
    [sys.executable, "-m", "keras_inception_export"],
    [sys.executable, "export"],
    [shutil.which("keras-inception", path=os.path.dirname(sys.executable))],
)


def sha256_of_files(bundle):
    """Return the hash of each artifact that is a file."""
    report = json.loads((bundle / "report.json").read_text())
    hashes = {x["path"]: x["sha256"] for x in report["artifacts"]}
    return {path: hashes[path] for path in ("model.tflite", "model.onnx")}


def test_export_prints_its_lines_and_always_writes_the_same(
    saved, published, tmp_path, capfd
):
    out = tmp_path / "out"
    capfd.readouterr()
    assert main(["export", str(saved), "--output", str(out)]) == 0
    shown = capfd.readouterr()
    assert shown.err == "" and not {"\x1b", "\r"} & set(shown.out)
    assert sha256_of_files(out) == sha256_of_files(published)
    lines = shown.out.splitlines()
    assert lines[0] == "Model  small, 502 parameters"
    assert [line.split()[:2] for line in lines if line.startswith("✓")] == [
        ["✓", name] for name in DEFAULT_FORMATS
    ]
    assert lines[-1] == f"Verified against float64 and published in {out}"


def test_export_prints_json(saved, tmp_path, capfd):
    out = tmp_path / "out"
    words = ["export", saved, "--output", out, "--format", "onnx", "--json"]
    assert main([*map(str, words)]) == 0
    shown = capfd.readouterr()
    report = json.loads((out / "report.json").read_text())
    assert parse_document(shown.out)["result"] == report
    assert shown.err == ""


@pytest.mark.parametrize("command", COMMANDS, ids=("-m", "folder", "script"))
def test_help(command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert "exit codes:\n  0        verified, or done" in done.stdout


REPORT_IMPORTS = (
    "import sys; from keras_inception_export.cli.main import main\n"
    "try: code = main(sys.argv[1:])\n"
    "except SystemExit as stop: code = stop.code or 0\n"
    "print({x.partition('.')[0] for x in sys.modules})\n"
    "sys.exit(code)"
)


def imported_by(*words):
    """Return the top-level modules that a subcommand imports."""
    done = run([sys.executable, "-c", REPORT_IMPORTS], *words)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].strip("{}").split(", "))


def test_help_imports_nothing_heavy():
    imported = imported_by("export", "--help")
    heavy = {"keras", "tensorflow", "numpy", "onnx", "onnxruntime", "PIL"}
    heavy |= {"rich", "pydantic", "shtab"}
    assert not {repr(name) for name in heavy} & imported


@pytest.mark.parametrize("command", ("verify", "predict", "info", "report"))
def test_a_bundle_is_used_without_keras_and_tensorflow(command, bundle):
    report = json.loads((bundle / "report.json").read_text())
    report["artifacts"] = report["artifacts"][-1:]
    (bundle / "report.json").write_text(json.dumps(report))
    np.save(bundle / "images.npy", random_images((2, 12, 12, 3)))
    words = {
        "verify": [bundle],
        "predict": [bundle / "model.onnx", bundle / "images.npy"],
        "info": [bundle],
        "report": [bundle, "--output", bundle.with_suffix(".html")],
    }
    imported = imported_by(command, *words[command])
    assert not {"'keras'", "'tensorflow'", "'onnx'"} & imported
    runs = command in ("verify", "predict")
    assert ("'onnxruntime'" in imported) == runs


def wrong_requests(saved, folder):
    broken = folder / "broken.keras"
    broken.write_bytes(b"no model")
    young = folder / "young.keras"
    unbuilt = keras.Sequential([layers.Dense(3)], name="young")
    with pytest.warns(UserWarning, match="not yet been built"):
        unbuilt.save(young)
    exists = folder / "exists"
    exists.mkdir()
    (exists / "thesis.txt").write_text("all my work")
    new = folder / "new"
    return {
        "missing file": ([folder / "none.keras", new], "does not exist"),
        "not a model": ([broken, new], "is not a Keras model"),
        "unbuilt": ([young, new], "is not built"),
        "opset": ([saved, new, "--opset", 19], "opset 19 cannot be written"),
        "batch size": ([saved, new, "--batch-size", 0], "at least 1, got 0"),
        "existing": ([saved, exists], "exists already"),
        "overwrite": (
            [saved, exists, "--overwrite"],
            "exists and is not a bundle",
        ),
        "empty": ([saved, ""], "the output is an empty path"),
        "samples": (
            [saved, new, "--samples", folder / "none.npy"],
            "none.npy does not exist",
        ),
        "import": (
            [saved, new, "--import", "no_such_module"],
            "--import no_such_module: the module cannot be imported",
        ),
    }


REQUESTS = (
    "missing file",
    "not a model",
    "unbuilt",
    "opset",
    "batch size",
    "existing",
    "overwrite",
    "empty",
    "samples",
    "import",
)


def snapshot(folder):
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("name", REQUESTS)
def test_wrong_request(name, saved, tmp_path, capfd):
    requests = wrong_requests(saved, tmp_path)
    assert tuple(requests) == REQUESTS
    (model, output, *more), expected = requests[name]
    before = snapshot(tmp_path)

    words = ["export", model, "--output", output, *more]
    assert main([*map(str, words)]) == 2

    shown = capfd.readouterr()
    assert shown.out.count("\n") <= 2 and shown.err.count("\n") == 1
    assert shown.err.startswith("keras-inception: ")
    assert expected in shown.err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("parent", ("/proc", "/dev/null"))
def test_read_only_folder(parent, saved, capfd):
    words = ["export", str(saved), "--output", f"{parent}/new"]
    assert main(words) == 2
    shown = capfd.readouterr().err
    assert f"{parent}/new cannot be created" in shown and shown.count("\n") == 1


def test_constant_model(tmp_path, capfd):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Conv2D(2, 3, name="map")(image))
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    model.save(tmp_path / "dead.keras")
    words = ["export", tmp_path / "dead.keras", "--output", tmp_path / "out"]
    assert main([*map(str, words)]) == 1
    assert 'reference: output "map" hardly' in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


CUSTOM_LAYER = """
import keras

@keras.saving.register_keras_serializable("mine")
class Twice(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2
"""


@pytest.fixture
def module_of_layers(tmp_path, monkeypatch):
    """A module of the user, and a function that forgets its import."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_layers.py").write_text(CUSTOM_LAYER)

    def forget():
        sys.modules.pop("my_layers", None)
        keras.saving.get_custom_objects().pop("mine>Twice", None)

    yield forget
    forget()


def test_custom_layers_are_imported(module_of_layers, capfd):
    x = keras.Input((8, 8, 3))
    twice = importlib.import_module("my_layers").Twice()
    keras.Model(x, twice(layers.Conv2D(2, 3)(x))).save("mine.keras")
    words = ["export", "mine.keras", "--output", "out", "--format", "onnx"]
    module_of_layers()
    assert main(words) == 2
    assert capfd.readouterr().err == (
        "keras-inception: mine.keras needs mine>Twice, which is not "
        "registered; name the module that registers it with --import MODULE\n"
    )
    assert main([*words, "--import", "my_layers"]) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("factor", ("1/0", "bright", "1e999"))
def test_pixel_scale_is_a_number(factor, capfd):
    with pytest.raises(SystemExit) as stop:
        main(["predict", "model.onnx", "x.png", "--pixel-scale", factor])
    assert stop.value.code == 2
    assert f"got {factor}, expected a number" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    (
        ["--format", "onnx,tflite", "--quantize", "float16,int8", "x.keras"],
        [
            *("--format", "onnx", "--quantize", "float16"),
            *("x.keras", "--format", "tflite", "--quantize", "int8"),
        ],
    ),
    ids=("commas", "repeated"),
)
def test_lists_do_not_take_the_model(words):
    parsed = make_parser().parse_args(["export", "--output", "out", *words])
    assert parsed.model_file == "x.keras"
    assert parsed.formats == ["onnx", "tflite"]
    assert parsed.quantize == ["float16", "int8"]
