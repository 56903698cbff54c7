"""What a command shows on a terminal, and what goes into a pipe."""

import io
import os
import re
import shlex

import pytest
from rich.console import Console

from keras_inception_export.cli import main, progress, tables
from tests.helpers.brightness import write_brightness, write_images
from tests.helpers.commands import run
from tests.helpers.terminal import COMMAND, run_on_terminal

CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A command that predicts 50 images."""
    folder = tmp_path_factory.mktemp("a long folder's name")
    write_brightness(folder / "model.onnx")
    write_images(folder / "in", 50)
    return ["predict", folder / "model.onnx", folder / "in"]


@pytest.mark.parametrize(
    ("variables", "colours", "live"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, False, True),
        ({"NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, False, False),
    ],
    ids=("plain", "NO_COLOR", "empty NO_COLOR", "dumb"),
)
def test_a_terminal(variables, colours, live, words):
    code, shown = run_on_terminal(words, columns=40, **variables)
    assert code == 0
    assert ("\x1b[3" in shown or "\x1b[2m" in shown) == colours
    assert ("50/50" in shown) == live == ("\x1b[2K" in shown)
    following = CODES.sub("", shown).partition("Next: ")[2]
    expected = [*map(str, words), "--output", "results.csv"]
    assert shlex.split(following)[1:] == expected


def test_a_device_without_rich(words, tmp_path):
    (tmp_path / "rich.py").write_text("raise ImportError")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    code, shown = run_on_terminal(words, PYTHONPATH=path)
    assert code == 0 and shown.count("\n") == 51 and "\x1b" not in shown


def test_a_mistake_on_a_terminal():
    code, shown = run_on_terminal(["export", "--ouput", "x"], columns=36)
    assert code == 2 and "\x1b[" in shown
    lines = CODES.sub("", shown).splitlines()
    assert max(map(len, lines)) <= 36
    assert lines[-1] == "see keras-inception export --help"


def test_a_pipe(words):
    done = run(COMMAND, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 50
    assert not {"\x1b", "\r", "…"} & set(done.stdout)


RECORDS = (
    "Model  digits, 127 parameters",
    "Write  tflite",
    "Rank  1 of 3: conv alone in int8 gives 20 dB",
    "Rank  3 of 3: dense alone in int8 gives 30 dB",
    "Verify  x\x1b[2J" + "long" * 30,
)


@pytest.mark.parametrize("failing", [False, True])
def test_stages(failing):
    file = io.StringIO()
    console = Console(
        file=file, width=40, force_terminal=True, color_system=None
    )
    try:
        with progress._Stages(console) as live:
            live.start("Load  a\x1b\n\u202e")
            assert r"a\x1b\n\u202e" in live._line().plain
            for record in RECORDS:
                live.record(record)
                running = live._line().plain
                assert len(running) <= 40
                assert running.endswith(" s")
            if failing:
                raise ValueError
    except ValueError:
        assert failing
    text = CODES.sub("", file.getvalue())
    lines = [
        re.sub(r"\d+\.\d s$", "#", x.rpartition("\r")[2])
        for x in text.split("\n")
    ]
    assert "\x1b" not in text
    done = [line for line in lines if line[:1] in "✓✗" and line]
    assert [line.split()[1] for line in done] == [
        *("Load", "Prepare", "Write", "Rank", "Verify")
    ]
    assert all(line.endswith("#") for line in done)
    assert done[4].startswith("✗" if failing else "✓") and "…" in done[4]
    assert "  Model     digits, 127 parameters" in lines


NAME = "digit\nkeras-inception: verified\x1b[2J\udc80"
SHOWN = "digit\\nkeras-inception: verified\\x1b[2J\\udc80"


def facts():
    spec = {"name": NAME, "dtype": "float32", "shape": [None, 2]}
    return {"path": "x", "kind": "onnx", "bytes": 3, "inputs": [spec]}


def test_control_characters_in_names_are_escapes():
    text = tables.information(facts())
    assert SHOWN in text and NAME not in text
    assert len(text.splitlines()) == 4


def test_progress_is_one_line(capsys):
    tables.progress(f"Model  {NAME}")
    assert capsys.readouterr().out == f"Model  {SHOWN}\n"


@pytest.mark.parametrize("command", ["info", "verify"])
def test_control_characters_in_paths_are_escapes(command, capfd):
    assert main([command, "no\x1b[2Jsuch\udc80"]) == 2
    shown = capfd.readouterr().err
    assert "no\\x1b[2Jsuch\\udc80" in shown and "\x1b" not in shown
