"""Mistakes on the command line, the help texts, and completion."""

import json
import math
import subprocess
import sys

import jsonschema
import pytest

from keras_inception_export.cli import layout, main, output, schema
from keras_inception_export.cli.help import OUTPUT, PAGES
from keras_inception_export.cli.parser import entries, make_parser
from tests.helpers.documents import SCHEMA, parse_document

MISTAKES = {
    "expotr": 'command "expotr" is unknown; did you mean "export"?',
    "m.keras --output x": 'command "m.keras" is unknown; choose from export',
    "export m.keras --ouput x": 'option "--ouput" is unknown; did you mean '
    '"--output"? see keras-inception export --help',
    "export m.keras --output x --fromat=onnx": 'did you mean "--format"?',
    "export m.keras --output x --batch_size 1": 'did you mean "--batch-size"?',
    "export m.keras -output x": 'did you mean "--output"?',
    "export m.keras --output x --colour": 'option "--colour" is unknown; see',
    "predict a --Top 3": 'did you mean "--top"?',
    "--jsn info x": 'option "--jsn" is unknown; see keras-inception --help',
    "export m.keras": "required: --output; see keras-inception export --help",
    "export --output x": "one of the arguments MODEL.keras --model is required",
    "": "the following arguments are required: COMMAND",
    "verify": "the following arguments are required: BUNDLE",
    "verify a b": "unrecognized arguments: b",
    "predict a b --top 1.5": "--top: got 1.5, expected a whole number",
    "export a --output b --min-agreement x": "expected a number",
    **{
        f"predict a b --pixel-scale {x}": f"got {x}, expected a number"
        for x in ("1/0", "bright", "1e999")
    },
    "export m.keras --output x --quantize in8": 'did you mean "int8"?',
    "export m.keras --output x --format onx": 'did you mean "onnx"?',
    "export --model vgg61 --output x": 'did you mean "vgg16"?',
    "predict a b --engine ry": 'did you mean "ray"?',
    "info a --code pyton": 'did you mean "python"?',
    "completion bsh": 'did you mean "bash"?',
    "help exprt": 'did you mean "export"?',
}


def call(words):
    try:
        return main(words)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_with_a_hint(line, capfd):
    assert call(line.split()) == 2
    shown = capfd.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    assert shown.err.startswith("keras-inception: ")
    assert MISTAKES[line] in shown.err


@pytest.mark.parametrize("line", ["expotr", "info --pth x", "help exprt", ""])
def test_a_mistake_as_json(line, capfd):
    assert call([*line.split(), "--json"]) == 2
    document = parse_document(capfd.readouterr().out)
    assert document["exit_code"] == 2 and document["result"] is None
    assert document["error"]["message"].count("\n") == 0


def test_the_schema_is_published():
    assert json.loads(SCHEMA.read_text()) == schema.schema()
    page = SCHEMA.with_name("command_line.md").read_text()
    for command in PAGES:
        assert page.count(f"| `{command}` |") == 2  # what it does, its result
    for key in schema.Envelope.model_fields:
        assert f"| `{key}` |" in page


@pytest.mark.parametrize(
    "changes",
    [{"ok": "yes"}, {"more": 1}, {"result": {}}, {"command": "expotr"}],
    ids=str,
)
def test_the_schema_refuses_other_documents(changes, capfd):
    assert main(["help", "--json"]) == 0
    document = parse_document(capfd.readouterr().out)
    with pytest.raises(jsonschema.ValidationError):
        parse_document(json.dumps(document | changes))


def test_what_json_cannot_express_is_null(capfd):
    output.print_json("help", output.Outcome({"text": [math.inf, 1.0]}))
    assert json.loads(capfd.readouterr().out)["result"]["text"] == [None, 1.0]


def test_words_that_are_no_mistakes():
    parse = make_parser().parse_args
    assert parse(["predict", "a", "--", "--top"]).inputs == ["--top"]
    assert parse(["predict", "a", "-5", "-x y"]).inputs == ["-5", "-x y"]
    assert parse(["export", "a", "--out", "b"]).output == "b"  # abbreviated
    assert parse(["export", "a", "--output=--b"]).output == "--b"


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("command", PAGES)
def test_help(command, columns, monkeypatch, capfd):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["help", command]) == 0
    text = capfd.readouterr().out
    assert call([command, "--help"]) == 0
    assert capfd.readouterr().out == text
    lines = text.splitlines()
    usage, rest = lines[0], lines[1:]
    assert usage.startswith(f"usage: keras-inception {command} ")
    assert max(map(len, rest)) <= min(columns, 100)
    assert {"exit codes:", "environment:", "output:"} < set(rest)
    page = PAGES[command]
    assert ("examples:" in rest) == bool(page.examples)
    for block in (*page.arguments.values(), OUTPUT):
        for head, _ in entries(block):
            assert head.split()[0].rstrip("?+|!") in text


def test_examples_can_be_parsed():
    for page in PAGES.values():
        for line in page.examples.strip().splitlines():
            make_parser().parse_args(line.partition(" > ")[0].split())


COMPLETE = """
eval "$(cat)"
COMP_WORDS=(keras-inception "$@"); COMP_CWORD=$#; COMPREPLY=()
_shtab_keras_inception keras-inception "${!#}" 2>/dev/null
echo "${COMPREPLY[@]}"
"""
COMPLETIONS = {
    ("ex",): "export",
    ("export", "--qu"): "--quantize --quantized-io",
    ("export", "--quantize", ""): "float16 dynamic int8",
    ("verify", ""): "folder",
    ("export", ""): "folder model.keras",
    ("info", "x", "--code", "p"): "python",
    ("help", "be"): "benchmark",
}


def test_bash_completes(tmp_path, capfd):
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.keras").touch()
    assert main(["completion", "bash"]) == 0
    script = capfd.readouterr().out
    for words, expected in COMPLETIONS.items():
        shown = subprocess.run(
            ["bash", "-c", COMPLETE, "bash", *words],
            input=script,
            capture_output=True,
            text=True,
            cwd=tmp_path,
        ).stdout
        assert sorted(shown.split()) == sorted(expected.split()), words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell, capfd, monkeypatch):
    assert main(["completion", shell]) == 0
    shown = capfd.readouterr().out
    assert all(command in shown for command in PAGES)
    assert "calibration-samples" in shown
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", shell]) == 2
    assert "pip install shtab" in capfd.readouterr().err


NAMES = ("conv", "block_1/branch_with_a_long_name/conv", "層" * 30, "é\x1b[2J")
ROWS = [
    ("", "layer", "size", "error", "-", "bar"),
    *(("✓", name, "12.3 kB", "1.0e-07", "-", "███") for name in NAMES),
    "a text between the rows",
]


@pytest.mark.parametrize("room", [24, 40, 60, 80, 120])
def test_tables_fit(room, monkeypatch):
    monkeypatch.setattr(layout, "width", lambda: room)
    lines = layout.grid(ROWS, "<~>>>?")
    assert all(layout.columns(line) <= room for line in lines)
    assert "\x1b" not in "".join(lines)
    assert sum("1.0e-07" in line for line in lines) == len(NAMES)
    assert any("conv" in line and "…" in line for line in lines) == (room < 80)
    text = layout.joined(["probes  many words " + "and more " * 30])
    assert all(len(line) <= room for line in text.splitlines())
    monkeypatch.setattr(layout, "width", lambda: None)
    plain = layout.grid(ROWS, "<~>>>?")
    assert NAMES[1] in plain[2] and NAMES[2] in plain[3]
    assert len(plain) == len(ROWS)


def test_names_lose_their_middle():
    assert layout.shortened("short", 5) == "short"
    assert layout.shortened("a_long_name.png", 9) == "a_lo….png"
    assert layout.shortened("層層層層", 5) == "層…層"


def test_a_wrong_option_where_nothing_can_be_printed(monkeypatch):
    with open("/dev/full", "w") as full, pytest.raises(SystemExit) as caught:
        monkeypatch.setattr("sys.stdout", full)
        main(["info", "--jsn", "--json"])
    assert caught.value.code == 2
