"""The command: what it prints, its exit codes, and what it imports."""

import errno
import importlib
import json
import os
import shutil
import sys

import keras
import pytest
from keras import layers

from keras_inception_export.cli import main
from keras_inception_export.cli.parser import make_parser
from keras_inception_export.formats.registry import DEFAULT_FORMATS, FORMATS
from tests.helpers.commands import run
from tests.helpers.documents import parse_document
from tests.helpers.format_cases import constant_model

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


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        ("export --help", "numpy onnx PIL rich pydantic shtab"),
        ("info out", "rich"),
        ("report out", "onnx"),
    ],
)
def test_only_what_is_needed_is_imported(words, heavy, bundle, tmp_path):
    bundle.rename(tmp_path / "out")
    words = [sys.executable, "-c", REPORT_IMPORTS, *words.split()]
    done = run(words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines()[-1].strip("{}").split(", "))
    heavy += " keras tensorflow onnxruntime"
    assert not {repr(name) for name in heavy.split()} & imported


REQUESTS = {
    "none.keras new": "does not exist",
    "broken.keras new": "is not a Keras model",
    "young.keras new": "is not built",
    "model.keras exists": "exists already",
    "model.keras exists --overwrite": "exists and is not a bundle",
    "model.keras ": "the output is an empty path",
    "model.keras /proc/new": "/proc/new cannot be created",
    "model.keras /dev/null/new": "/dev/null/new cannot be created",
    "model.keras new --opset 19": "opset 19 cannot be written",
    "model.keras new --samples none.npy": "none.npy does not exist",
    "model.keras new --import no_such_module": "--import no_such_module: the "
    "module cannot be imported",
}


@pytest.fixture
def requested(saved, tmp_path, monkeypatch):
    """The current folder, with what the requests name."""
    shutil.copy(saved, tmp_path / "model.keras")
    (tmp_path / "broken.keras").write_bytes(b"no model")
    unbuilt = keras.Sequential([layers.Dense(3)], name="young")
    with pytest.warns(UserWarning, match="not yet been built"):
        unbuilt.save(tmp_path / "young.keras")
    (tmp_path / "exists").mkdir()
    (tmp_path / "exists/thesis.txt").write_text("all my work")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snapshot(folder):
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("line", REQUESTS)
def test_wrong_request(line, requested, capfd):
    model, output, *more = line.split(" ")
    before = snapshot(requested)
    assert main(["export", model, "--output", output, *more]) == 2
    shown = capfd.readouterr()
    assert shown.out.count("\n") <= 2 and shown.err.count("\n") == 1
    assert shown.err.startswith("keras-inception: ")
    assert REQUESTS[line] in shown.err
    assert snapshot(requested) == before


def test_no_free_descriptor_at_the_start(monkeypatch, capfd):
    def fail(_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", fail)
        assert main(["info", "missing"]) == 2
    assert "the limit of open files is reached" in capfd.readouterr().err


def test_constant_model(tmp_path, capfd):
    constant_model().save(tmp_path / "dead.keras")
    words = ["export", tmp_path / "dead.keras", "--output", tmp_path / "out"]
    assert main([*map(str, words)]) == 1
    assert "reference: output " in capfd.readouterr().err
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
