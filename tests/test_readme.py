"""Every block of the README, run from top to bottom."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A folder that the blocks run in, one after the other."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("readme"))
    yield {"namespace": {}, "shown": ""}
    os.chdir(before)


@pytest.mark.parametrize(
    "number", range(len(BLOCKS)), ids=lambda n: f"{n}-{BLOCKS[n][0]}"
)
def test_block(number, room):
    language, text = BLOCKS[number]
    {"python": run_python, "bash": run_bash, "text": compare}[language](
        text, room
    )


def run_python(text, room):
    exec(compile(text, "README.md", "exec"), room["namespace"])


def run_bash(text, room):
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words[0] == "make":
            # What they run is what runs this test; so see that they exist.
            done = subprocess.run(["make", "-n", *words[1:]], cwd=ROOT)
            assert done.returncode == 0
            continue
        assert words[0] == "keras-inception"
        command = [sys.executable, "-m", "keras_inception_export", *words[1:]]
        with Path("shown.txt").open("w+") as file:
            process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT
            )
            _, status, room["usage"] = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        room["shown"] = Path("shown.txt").read_text()
        assert process.returncode == 0, room["shown"]


def compare(text, room):
    """Compare what a command shows, but for figures; a drawing has none."""
    if "✓" in text:
        assert without_figures(text) == without_figures(room["shown"])


def without_figures(text):
    return re.sub(r"[\d.]+e-\d\d|\d+(\.\d+)? [kM]B", "#", text).split()


def test_large_model_was_lean(room):
    """No process of the last block passed 4 GB."""
    assert BLOCKS[-1][1].startswith("keras-inception export --model")
    assert room["usage"].ru_maxrss * 1024 < 4.0e9
    size = sum(
        path.stat().st_size
        for path in Path("dist/hybrid/saved_model").rglob("*")
        if path.is_file()
    )
    assert size <= 1.02 * 4 * 132_084_920


def test_every_name_is_public():
    import keras_inception_export
    import keras_inception_layers

    public = {*keras_inception_layers.__all__, *keras_inception_export.__all__}
    for language, text in BLOCKS:
        if language == "python":
            for names in re.findall(
                r"^from keras_inception_\w+ import (.+)$", text, re.MULTILINE
            ):
                assert set(names.split(", ")) <= public
