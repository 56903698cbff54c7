"""What names from models and files can write to a terminal."""

import pytest

from keras_inception_export.cli import main, tables

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
