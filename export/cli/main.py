"""The command `keras-inception`: run a subcommand and print its result."""

import contextlib
import dataclasses
import functools
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from keras_inception_export.bundle.publication import remove_leftovers
from keras_inception_export.cli import supervision, tables
from keras_inception_export.cli.parser import make_parser
from keras_inception_export.errors import (
    INTERNAL_EXIT_CODE,
    ArtifactError,
    ExportError,
    RequestError,
    RuntimeMissingError,
    check_choice,
    exhausted,
    reason_of,
)
from keras_inception_export.logs import printable, progress_to
from keras_inception_export.model.networks import NETWORKS

PIPE_EXIT_CODE = 141
"""Exit code if what reads the output has ended, as a shell reports it."""


def main(words=None) -> int:
    """Run the command and return its exit code.

    0: verified, or done. 1: an artifact failed verification, or some of many
    inputs have no result. 2: the request or the input is wrong, or nothing
    could be run. 70: an internal error. 128 + N: ended by signal N.

    Args:
        words: the arguments. Defaults to `None`: those of this process, and
            a child process does the work, so that this one can report
            whatever ends it.
    """
    if words is not None or not hasattr(os, "fork"):
        return _run(make_parser().parse_args(words))
    supervision.open_standard_streams()
    with supervision.deferred_signals() as signals:
        arguments = make_parser().parse_args()
        return supervision.supervise(
            functools.partial(_run, arguments),
            functools.partial(_clean, arguments),
            signals,
        )


def _run(arguments) -> int:
    """Run a subcommand; print an error as one line."""
    quiet = contextlib.nullcontext(sys.stderr) if arguments.debug else _quiet()
    with quiet as terminal, _restored_environment():
        arguments.terminal = terminal
        try:
            code = COMMANDS[arguments.command](arguments)
            sys.stdout.flush()
            return code
        except ExportError as error:
            if arguments.debug:
                raise
            line, code = str(error), error.exit_code
            if isinstance(error, ArtifactError) and exhausted(error):
                line, code = exhausted(error), RequestError.exit_code
        except BrokenPipeError:  # `head`, say, has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_EXIT_CODE
        except Exception as error:
            if arguments.debug:
                raise
            line, code = exhausted(error), RequestError.exit_code
            if not line:
                line = (
                    f"unexpected {type(error).__name__}: {reason_of(error)}; "
                    "run again with --debug for details"
                )
                code = INTERNAL_EXIT_CODE
        except KeyboardInterrupt:
            line = supervision.STOPS["SIGINT"] + _clean(arguments)
            code = 130
        line = f"keras-inception: {' '.join(line.split())}"
        print(printable(line), file=terminal)
        return code


def _clean(arguments) -> str:
    """Remove what is half written; return what to add to the message."""
    if arguments.command == "export":
        with contextlib.suppress(OSError):
            remove_leftovers(Path(arguments.output))
    if arguments.command == "predict" and arguments.output:
        from keras_inception_export.prediction.lines import LINES

        if Path(arguments.output).suffix in LINES:
            return f"; go on with --output {arguments.output} --resume"
    return ""


def _export(arguments):
    from keras_inception_export.options import ExportOptions
    from keras_inception_export.pipeline.resources import (
        check_resources,
        parameters_in,
    )

    # Checked before TensorFlow is imported, which takes seconds.
    options = ExportOptions(
        output_dir=arguments.output,
        **{
            field.name: value
            for field in dataclasses.fields(ExportOptions)
            if (value := getattr(arguments, field.name, None)) is not None
        },
    )
    parameters = 0
    if arguments.model:
        check_choice("model", arguments.model, NETWORKS)
    else:
        parameters = parameters_in(arguments.model_file)
    check_resources(parameters, options, loaded=False)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow's oneDNN allocator never returns memory: the peak of an export
    # of 132 M parameters is 5.9 GB with it and 3.4 GB without, in equal time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    from keras_inception_export.model import loading
    from keras_inception_export.pipeline.export_model import run_export

    loading.import_modules(arguments.imports)
    source = arguments.model_file
    if arguments.model:
        source = functools.partial(loading.build_model, arguments.model)
    with _progress(arguments):
        report = run_export(source, options)
    return _print(
        arguments,
        report,
        lambda: tables.export_summary(report, arguments.output),
    )


def _verify(arguments):
    from keras_inception_export.bundle.bundle import read_report
    from keras_inception_export.verification.verify import verify

    results = verify(arguments.bundle, sha256=arguments.sha256)
    report = read_report(Path(arguments.bundle))
    _print(
        arguments,
        tables.results_as_json(results),
        lambda: tables.verification(results, arguments.bundle, report),
    )
    if any(result.findings for result in results):
        return 1
    if not any(result.passed for result in results):
        raise RuntimeMissingError(
            f"{arguments.bundle}: no artifact could be run, so nothing is "
            "verified; install the runtime of one of them"
        )
    return 0


def _diagnose(arguments):
    from keras_inception_export.cli.diagnosis_table import table
    from keras_inception_export.diagnosis.diagnose import diagnose

    diagnoses = diagnose(arguments.bundle)
    _print(
        arguments,
        {"artifacts": [diagnosis.as_json() for diagnosis in diagnoses]},
        lambda: table(diagnoses, everything=arguments.all),
    )
    if not all(diagnosis.passed for diagnosis in diagnoses):
        return 1
    if not any(diagnosis.layers for diagnosis in diagnoses):
        raise RuntimeMissingError(
            f"{arguments.bundle}: no artifact could be examined; that needs "
            "a TFLite or ONNX artifact and its runtime"
        )
    return 0


def _predict(arguments):
    from keras_inception_export.cli.predict import predict

    return predict(arguments)


def _info(arguments):
    from keras_inception_export.bundle.info import describe
    from keras_inception_export.bundle.snippets import snippet

    if arguments.code is not None:
        print(snippet(arguments.path, arguments.code), end="")
        return 0
    facts = describe(arguments.path)
    return _print(arguments, facts, lambda: tables.information(facts))


def _benchmark(arguments):
    from keras_inception_export.benchmarking.run import benchmark

    with _progress(arguments):
        result = benchmark(
            arguments.bundle,
            batch_size=arguments.batch_size,
            threads=arguments.threads,
            rounds=arguments.rounds,
            keras_file=arguments.keras,
            modules=arguments.imports,
            seed=arguments.seed,
        )
    return _print(arguments, result, lambda: tables.benchmark(result))


COMMANDS = {
    "export": _export,
    "verify": _verify,
    "diagnose": _diagnose,
    "predict": _predict,
    "info": _info,
    "benchmark": _benchmark,
}


def _print(arguments, result, make_text) -> int:
    """Print a result as JSON or as text, and return the exit code 0."""
    print(json.dumps(result, indent=2) if arguments.json else make_text())
    return 0


def _progress(arguments):
    """Print each step, unless the output is JSON."""
    return progress_to(None if arguments.json else tables.progress)


@contextlib.contextmanager
def _restored_environment():
    """Restore the environment variables that a subcommand sets."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _quiet() -> Iterator[TextIO]:
    """Discard what libraries print to standard error.

    TensorFlow and its converters write to the file descriptor directly.

    Yields:
        The original standard error, for messages of this command.
    """
    sys.stderr.flush()
    descriptor, stderr = os.dup(2), sys.stderr
    try:
        with (
            open(os.devnull, "w") as discarded,
            os.fdopen(os.dup(descriptor), "w", buffering=1) as terminal,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            os.dup2(discarded.fileno(), 2)
            sys.stderr = discarded
            yield terminal
    finally:
        sys.stderr = stderr
        os.dup2(descriptor, 2)
        os.close(descriptor)
