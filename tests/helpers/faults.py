"""Run the command, and let something break while it runs.

The target of a child process. Each command runs in a fork of it, so that what
it has imported is imported once.
"""

import functools
import importlib
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

from keras_inception_export.bundle import bundle, publication
from keras_inception_export.cli import main, supervision, tables
from keras_inception_export.cli.output import Outcome
from keras_inception_export.logs import logger, progress_to
from keras_inception_export.options import ExportOptions
from tests.helpers.reports import make_report

COMMAND = sys.modules[main.__module__]
IMITATED = ("Write  onnx", "Verify  onnx")
"""What the imitation of an export prints."""


def preload():
    """Import what exports import."""
    for name in ("onnx", "saved_model", "tflite"):
        module = f"keras_inception_export.formats.{name}.export"
        importlib.import_module(module)
    importlib.import_module("onnxruntime")
    pipeline = importlib.import_module(
        "keras_inception_export.pipeline.make_probes"
    )
    pipeline.search_pixels = functools.partial(
        pipeline.search_pixels, seconds=0.1
    )


def run(
    words,
    *,
    imitation=False,
    at=None,
    action=None,
    worker=False,
    limits=None,
    renamings=None,
):
    """Run the command.

    Args:
        words: its arguments.
        imitation: whether a bundle is published as by an export, but without
            a model.
        at: after how many printed lines `action` happens.
        action: a signal to send, a folder to remove, or "exit", which
            libraries call.
        worker: whether the signal goes to the process that does the work.
        limits: new limits of the process, by their names in `resource`.
        renamings: the system cannot exchange two folders in one step, and
            kills the process after so many renamings.

    Returns:
        The exit code, and the lines of standard output and standard error.
    """
    pipes = [os.pipe() for _ in range(2)]
    command = os.fork()
    if command == 0:
        for descriptor, (_, writer) in enumerate(pipes, 1):
            os.dup2(writer, descriptor)
        if imitation:
            pause = functools.partial(_pause, at, action)
            imitate = functools.partial(_imitate, pause)
            COMMAND.COMMANDS["export"] = imitate
        _serve(words, limits or {}, renamings)
    for _, writer in pipes:
        os.close(writer)
    output, errors = (os.fdopen(reader) for reader, _ in pipes)
    with output, errors:
        lines = []
        for line in output:
            lines.append(line.rstrip())
            if len(lines) == at:
                _act(command, action, worker)
        status = os.waitpid(command, 0)[1]
        text = errors.read()
    return os.waitstatus_to_exitcode(status), lines, text.splitlines()


def _imitate(pause, arguments):
    output = Path(arguments.output)
    options = ExportOptions(output_dir=output, overwrite=arguments.overwrite)
    with progress_to(tables.progress), publication.staging(output) as folder:
        for number, text in enumerate(IMITATED, 1):
            (folder / "model.onnx").write_text("new")
            logger.info(text)
            pause(number)
        bundle.write_report(folder, make_report())
        publication.publish(folder, output, overwrite=options.overwrite)
    return Outcome()


def _pause(at, action, number):
    """Wait for what happens after a line."""
    if number == at and action == "exit":
        os._exit(1)
    if number == at and isinstance(action, int):
        time.sleep(60)
    while number == at and action and Path(action).exists():
        time.sleep(0.01)


def _act(command, action, worker):
    if action == "exit":
        return
    if isinstance(action, str):
        shutil.rmtree(action)
        return
    if worker:
        children = Path(f"/proc/{command}/task/{command}/children")
        command = int(children.read_text().split()[0])
    os.kill(command, action)


def _serve(words, limits, renamings):
    """Run the command in this process, which ends."""
    for name in supervision.STOPS:
        # A job in the background ignores some.
        signal.signal(signal.Signals[name], signal.SIG_DFL)
    if renamings is not None:
        publication._exchange_at_once = lambda *_: False
        publication.os = _Killed(renamings)
    for name, limit in limits.items():
        number = getattr(resource, name)
        resource.setrlimit(number, (limit, resource.getrlimit(number)[1]))
    sys.argv = ["keras-inception", *words]
    code = 99
    try:
        code = main()
    finally:
        os._exit(code)


class _Killed:
    """The module `os`; its `rename` kills the process that does the work."""

    def __init__(self, calls):
        self._calls, self._command = calls, os.getpid()

    def __getattr__(self, name):
        return getattr(os, name)

    def rename(self, source, target):
        os.rename(source, target)
        self._calls -= 1
        if self._calls == 0 and os.getpid() != self._command:
            os.kill(os.getpid(), signal.SIGKILL)
