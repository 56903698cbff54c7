"""Whatever breaks during an export: nothing good is lost, one line says why."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from keras_inception_export.bundle import publication
from keras_inception_export.child_process import ChildProcess
from tests.helpers import faults
from tests.helpers.reports import make_report

ROOT = Path(__file__).parents[2]
WRITE, VERIFY = 1, 2  # the lines of an imitation of an export
EXPORT_LINES = {"Reference": 2, "Write": 3, "Verify": 5}


@pytest.fixture(scope="module")
def command():
    """A child process in whose forks the command runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        with ChildProcess(faults.__name__) as child:
            yield child


@pytest.fixture(scope="module")
def loaded(command):
    command.call("preload")
    return command


@pytest.fixture
def output(tmp_path):
    """A bundle, alone in its folder."""
    folder = tmp_path / "disk" / "out"
    folder.mkdir(parents=True)
    write_bundle(folder, "old")
    return folder


def write_bundle(folder, text):
    faults.bundle.write_report(folder, make_report())
    (folder / "model.onnx").write_text(text)


def content(output):
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file()
    }


def siblings(output):
    return sorted(os.listdir(output.parent))


def overwrite(child, output, model="m.keras", imitation=True, **fault):
    words = ["export", str(model), "--output", str(output), "--overwrite"]
    if not imitation:
        words += ["--format", fault.pop("formats", "onnx")]
    return child.call("run", words=words, imitation=imitation, **fault)


def export(child, output, model="model.keras", imitation=True, **fault):
    """Export over a bundle; the old one must be there after any failure."""
    before = content(output)
    done = overwrite(child, output, model, imitation, **fault)
    if done[0] and output.exists():
        assert content(output) == before
    publication.check_output(output, overwrite=True)  # as the next export
    assert siblings(output) == [output.name]
    return done


ENDED = {
    "SIGINT": ("command", 130, "interrupted"),
    "SIGTERM": ("command", 143, "terminated"),
    "SIGHUP": ("command", 129, "interrupted, because the terminal was closed"),
    "SIGQUIT": ("command", 131, "ended by the key for SIGQUIT"),
    "SIGUSR1": ("command", 138, "ended by SIGUSR1"),
    "SIGXCPU": ("worker", 152, "its limit of processor time is reached"),
    "SIGKILL": ("worker", 137, "killed by signal 9 .*because memory or proc"),
    "SIGABRT": ("worker", 134, "killed by signal 6 .*because memory or proc"),
    "SIGSEGV": ("worker", 139, "killed by signal 11 "),
}
"""For each signal: who receives it, the exit code, and the line."""


def check_ended(name, child, output, **arguments):
    whom, code, text = ENDED[name]
    number = int(signal.Signals[name])
    done = export(
        child, output, action=number, worker=whom == "worker", **arguments
    )
    assert done[0] == code
    (line,) = done[2]
    assert re.search(f"^keras-inception: .*{text}", line)


@pytest.mark.parametrize("at", [WRITE, VERIFY])
@pytest.mark.parametrize("name", ENDED)
def test_a_signal_is_one_line(name, at, command, output):
    check_ended(name, command, output, at=at)


def test_a_library_that_ends_the_process_is_one_line(command, output):
    code, _, (line,) = export(command, output, at=VERIFY, action="exit")
    assert code == 2 and "a library ended the process" in line


def test_an_export_that_no_signal_ends(command, output):
    code, lines, errors = export(command, output)
    assert (code, lines, errors) == (0, list(faults.IMITATED), [])
    assert content(output)["model.onnx"] == b"new"


def test_what_a_killed_command_left_is_removed_by_the_next(command, output):
    kill = {"at": WRITE, "action": int(signal.SIGKILL)}
    assert export(command, output, **kill) == [-9, ["Write  onnx"], []]


@pytest.mark.parametrize(("renamings", "text"), [(1, b"old"), (2, b"new")])
def test_killed_between_two_steps(renamings, text, command, output):
    """The old bundle is put back, or the new one is there."""
    done = overwrite(command, output, renamings=renamings)
    assert done[0] == 137 and len(done[2]) == 1
    assert content(output)["model.onnx"] == text
    assert siblings(output) == [output.name]


@pytest.mark.parametrize(
    ("limit", "text"),
    [(0, "out cannot be created"), (5, "report.json cannot be written")],
)
def test_a_limit_of_the_size_of_files(limit, text, command, output):
    limits = {"RLIMIT_FSIZE": limit}
    code, _, (line,) = export(command, output, limits=limits)
    assert code == 2 and re.search(f"{text}.*File too large", line)


@pytest.mark.parametrize("at", [WRITE, VERIFY])
def test_the_folder_is_removed(at, command, output):
    fault = {"at": at, "action": str(output.parent)}
    code, _, (line,) = overwrite(command, output, **fault)
    assert code == 2 and line.endswith("No such file or directory")


@contextlib.contextmanager
def mounted(folder, options):
    """Mount a small disk in memory, which only root may do."""
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("only root may mount a disk; the limit of files needs none")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("size=12k", "the disk is full"),
        ("nr_inodes=8", "the disk is full, or has no free inodes"),
    ],
)
def test_a_full_disk(options, text, command, tmp_path):
    with mounted(tmp_path, options):
        output = tmp_path / "out"
        output.mkdir()
        write_bundle(output, "old")
        code, _, (line,) = export(command, output)
        assert code == 2 and text in line


def test_a_read_only_disk(command, tmp_path):
    with mounted(tmp_path, "size=1m"):
        output = tmp_path / "out"
        output.mkdir()
        write_bundle(output, "old")
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        code, _, (line,) = overwrite(command, output)
        assert code == 2 and line.endswith("Read-only file system")


@pytest.mark.parametrize("bind", [False, True])
def test_a_mount_point_is_refused_at_the_start(bind, tmp_path):
    with contextlib.ExitStack() as stack:
        stack.enter_context(mounted(tmp_path, "size=1m"))
        target = tmp_path
        if bind:
            target = tmp_path / "a b" / "out"
            target.mkdir(parents=True)
            (tmp_path / "c").mkdir()
            words = ["mount", "--bind", str(tmp_path / "c"), str(target)]
            subprocess.run(words, check=True)
            stack.callback(subprocess.run, ["umount", str(target)], check=True)
        with pytest.raises(
            publication.RequestError, match="is a mount point, which"
        ):
            publication.check_output(target, overwrite=True)


@pytest.mark.slow
@pytest.mark.parametrize("at", EXPORT_LINES.values(), ids=EXPORT_LINES)
@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
def test_every_stage_of_an_export(name, at, loaded, saved, output):
    check_ended(name, loaded, output, model=saved, imitation=False, at=at)


@pytest.mark.slow
@pytest.mark.parametrize("formats", ["onnx", "saved_model", "tflite"])
def test_an_export_to_a_full_disk(formats, loaded, saved, output):
    code, _, (line,) = export(
        loaded,
        output,
        saved,
        imitation=False,
        formats=formats,
        limits={"RLIMIT_FSIZE": 2000},
    )
    assert code == 2 and "File too large" in line
