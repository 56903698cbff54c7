"""Every block of the README, run from top to bottom."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A folder that the blocks run in, one after the other."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("readme"))
    yield {"namespace": {}, "shown": ""}
    os.chdir(before)


def blocks():
    """Yield each block's number; the export of the large model is slow."""
    for number, (language, text) in enumerate(BLOCKS):
        marks = [pytest.mark.slow] if " --model " in text else []
        yield pytest.param(number, id=f"{number}-{language}", marks=marks)


@pytest.mark.parametrize("number", list(blocks()))
def test_block(number, workdir):
    language, text = BLOCKS[number]
    {"python": run_python, "bash": run_bash, "text": compare}[language](
        text, workdir
    )


def run_python(text, workdir):
    exec(compile(text, "README.md", "exec"), workdir["namespace"])


def run_bash(text, workdir):
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
            workdir["peak"] = follow(process)
        workdir["shown"] = Path("shown.txt").read_text()
        assert process.returncode == 0, workdir["shown"]


def follow(process):
    """Wait for a process; return the peak memory of its largest one in bytes.

    Its own usage record would start with the memory of this one.
    """
    peak = 0
    while process.poll() is None:
        for status in statuses(process.pid):
            for kilobytes in re.findall(r"VmHWM:\s+(\d+) kB", status):
                peak = max(peak, int(kilobytes) * 1024)
        time.sleep(0.05)
    return peak


def statuses(pid):
    """Yield what the system says of a process and of its children."""
    with contextlib.suppress(OSError):  # one that has just ended
        folder = Path(f"/proc/{pid}")
        yield (folder / "status").read_text()
        for children in folder.glob("task/*/children"):
            for child in children.read_text().split():
                yield from statuses(child)


def compare(text, workdir):
    """Compare what a command shows, but for figures and predicted classes."""
    shown = workdir["shown"]
    if "✓" in text:
        assert without_figures(text) == without_figures(shown)
    elif shown:
        names, names_shown = (
            [line.split()[0] for line in x.splitlines()] for x in (text, shown)
        )
        assert names == names_shown


def without_figures(text):
    figures = (
        r"[\d.]+e-\d\d|\d+(\.\d+)? [kM]B|[\d.]+( dB|%)|column \d+"
        r"|(?<=Coverage).*|(?<=Probes).*"
    )
    return re.sub(figures, "#", text).split()


@pytest.mark.slow
def test_large_model_was_lean(workdir):
    """No process of the last block passed 4 GB."""
    assert BLOCKS[-1][1].startswith("keras-inception export --model")
    assert 1e9 < workdir["peak"] < 4e9
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
