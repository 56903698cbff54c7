"""The process that builds, exports and runs the models of the corpus."""

import os

PARTS = ("layers", "applications", "hub")


def serve(connection, log: str) -> None:
    """Answer the requests of `Worker.call`, until the connection closes."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    cases: dict = {}
    while True:
        try:
            part, request = connection.recv()
        except EOFError:
            return
        if part not in cases:
            cases[part] = _cases(part)
        if request is None:
            rows = [(x.name, x.row, x.text) for x in cases[part].values()]
            connection.send(rows)
        else:
            from .judge import judge

            name, format_name, exporter = request
            connection.send(judge(cases[part][name], format_name, exporter))


def _cases(part: str) -> dict:
    import importlib

    module = importlib.import_module(f".{part}", __package__)
    _keep_converter()
    return {case.name: case for case in module.cases()}


def _keep_converter() -> None:
    """Let all TFLite conversions of this process use one child process.

    A new one imports TensorFlow, which takes longer than most conversions.
    """
    import contextlib

    from keras_inception_export.child_process import ChildProcess
    from keras_inception_export.formats.tflite import export
    from keras_inception_export.pipeline import export_model

    children: dict = {}

    def run_in_child(target, function, environment=(), **arguments):
        if target not in children:
            children[target] = ChildProcess(target, dict(environment))
        try:
            return children[target].call(function, **arguments)
        except RuntimeError:
            children.pop(target).close()
            raise

    export.run_in_child = run_in_child
    export_model.started_ahead = lambda _: contextlib.nullcontext()
