"""Calls in child processes: results, errors, logs, and how a child ends."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keras_inception_export import child_process, errors
from keras_inception_export.child_process import (
    ChildProcess,
    run_in_child,
    started_ahead,
)
from keras_inception_export.logs import progress_to

TARGETS = "tests.helpers.child_targets"
ROOT = Path(__file__).parents[2]
PARENT = f"""
from keras_inception_export.child_process import ChildProcess
child = ChildProcess({TARGETS!r})
child.call("work", fifo={{fifo!r}}, native={{native}})
"""


@pytest.fixture(scope="module", autouse=True)
def _importable():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def child():
    with ChildProcess(TARGETS) as child:
        yield child


@pytest.fixture
def fifo(tmp_path):
    """A named pipe that a child opens, and its end that the test reads."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield str(path), reader
    os.close(reader)


def is_closed(reader):
    """Wait until no process has a named pipe open for writing."""
    with contextlib.closing(select.epoll()) as hangup:
        hangup.register(reader, 0)
        return bool(hangup.poll(timeout=20))


@pytest.mark.parametrize(
    "value",
    [None, 1.5, "Zürich\nBern", [1, [2]], {"a": {"b": True}}, "x" * 2**20],
    ids=["none", "float", "text", "list", "dictionary", "large"],
)
def test_values_return_unchanged(child, value):
    assert child.call("echo", value=value) == value


def test_paths_and_numpy_become_json(child):
    values = {"float": 0.5, "array": [[1, 0], [0, 1]], "path": "a/b"}
    assert child.call("numpy_values") == values
    assert child.call("echo", value=Path("a/b")) == "a/b"


def test_a_class_keeps_its_state():
    with ChildProcess(f"{TARGETS}:Counter") as child:
        assert [child.call("count") for _ in range(3)] == [1, 2, 3]


def test_environment(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    environment = {"KERAS_BACKEND": "jax"}
    seen = run_in_child("os", "getenv", environment, key="KERAS_BACKEND")
    assert seen == "jax"
    assert run_in_child("os", "getenv", key="CUDA_VISIBLE_DEVICES") == "-1"


def test_a_child_that_was_started_ahead_is_used_once():
    target = f"{TARGETS}:Counter"
    with started_ahead([target]):
        (ahead,) = child_process._AHEAD.get().values()
        assert ahead.call("count") == 1
        assert [run_in_child(target, "count") for _ in range(2)] == [2, 1]
    assert run_in_child(target, "count") == 1


def test_a_child_that_was_started_ahead_ends_with_the_block():
    with started_ahead(["json"]):
        (ahead,) = child_process._AHEAD.get().values()
        assert run_in_child("os", "getpid") != ahead.call("loads", s="1")
    with pytest.raises(RuntimeError, match="was closed"):
        ahead.call("loads", s="1")
    assert child_process._AHEAD.get() is None


@pytest.mark.parametrize(
    "kind",
    [
        *(
            kind
            for kind in vars(errors).values()
            if isinstance(kind, type) and issubclass(kind, errors.ExportError)
        ),
        *(ValueError, TypeError, FileNotFoundError, MemoryError, RuntimeError),
    ],
)
def test_an_error_keeps_its_class(child, kind):
    with pytest.raises(kind) as raised:
        child.call("fail", name=kind.__name__, message="3 < 5; give 5")
    assert raised.type is kind
    assert str(raised.value) == "3 < 5; give 5"
    (traceback,) = raised.value.__notes__
    assert "child_targets.py" in traceback


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("json", "JSONDecodeError: broken"),
        ("unicode", "UnicodeDecodeError: 'utf-8' codec"),
        ("group", "ExceptionGroup: broken"),
        ("namesake", "RequestError: broken"),
    ],
)
def test_another_error_is_a_runtime_error_that_names_it(child, name, message):
    with pytest.raises(RuntimeError, match=message) as raised:
        child.call("fail_foreign", name=name)
    assert raised.type is RuntimeError


def test_what_json_cannot_hold_is_an_error(child):
    for call in (
        lambda: child.call("echo", value={1, 2}),
        lambda: child.call("unsendable"),
    ):
        with pytest.raises(TypeError, match="{1, 2} is a set, which cannot"):
            call()
    assert child.call("echo", value=1) == 1


def test_log_records_arrive(child, caplog):
    with caplog.at_level("INFO", "keras_inception_export"):
        child.call("log", text="Write  %s", value="100%")
    records = [(r.name, r.levelname, r.getMessage()) for r in caplog.records]
    assert records == [
        ("keras_inception_export", "INFO", "Write  100%"),
        ("keras_inception_export", "WARNING", "done"),
    ]


def test_prints_do_not_disturb_answers(child, capfd):
    assert child.call("make_noise") == "answer"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("exit", "ended with status 3"),
        (
            "kill",
            "was killed by signal 9 (SIGKILL), perhaps because memory or "
            "processor time ran out",
        ),
    ],
)
def test_a_crash_is_one_line(how, status):
    with pytest.raises(RuntimeError) as raised:
        run_in_child(TARGETS, "crash", how=how)
    assert str(raised.value) == (
        f"the child process {status}; the last line of its standard error: "
        "out of memory"
    )


def test_a_large_request_to_a_crashed_child():
    with pytest.raises(RuntimeError, match="No module named 'missing_target'"):
        run_in_child("missing_target", "echo", value="x" * 2**20)


def test_interrupts_are_left_to_the_parent():
    """What Ctrl-C in a terminal sends does not reach a child."""
    assert run_in_child("os", "getpgrp") != os.getpgrp()


def test_an_interrupted_call_closes_the_child():
    """Or the next call would receive the answer to the interrupted one."""

    def interrupt(line):
        raise KeyboardInterrupt

    with ChildProcess(TARGETS) as child:
        with progress_to(interrupt), pytest.raises(KeyboardInterrupt):
            child.call("log", text="%s", value=1)
        with pytest.raises(RuntimeError, match="was closed; start another"):
            child.call("echo", value=1)


def test_close_ends_a_busy_child(fifo):
    class Busy(Exception):
        pass

    def stop(line):
        raise Busy

    path, reader = fifo
    with ChildProcess(TARGETS) as child, contextlib.suppress(Busy):
        with progress_to(stop):
            child.call("work", fifo=path, native=True)
    assert is_closed(reader)


@pytest.mark.parametrize("native", [False, True])
def test_a_busy_child_ends_with_a_killed_parent(native, fifo):
    path, reader = fifo
    code = PARENT.format(fifo=path, native=native)
    busy = "from keras_inception_export.logs import *; import logging\n"
    busy += "logging.basicConfig(level='INFO', format='%(message)s')"
    words = [sys.executable, "-c", busy + code]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as parent:
        assert parent.stderr.readline() == "busy\n"
        parent.send_signal(signal.SIGKILL)
    assert is_closed(reader)


def test_a_busy_child_ends_when_its_input_is_closed(fifo):
    """Also where no other sign of the parent's end can be had."""
    path, reader = fifo
    words = [sys.executable, "-m", child_process.__name__, TARGETS]
    request = {"function": "work", "arguments": {"fifo": path, "native": False}}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True) as process:
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == "busy"
        process.stdin.close()
        assert process.wait(timeout=20) == 1
    assert is_closed(reader)
