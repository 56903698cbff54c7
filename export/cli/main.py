"""The command `keras-inception`: run a subcommand and print its result."""

import contextlib
import dataclasses
import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from keras_inception_export.bundle.publication import remove_leftovers
from keras_inception_export.cli import supervision, tables
from keras_inception_export.cli.output import (
    Outcome,
    print_error,
    print_json,
    print_next,
    restore,
    write,
)
from keras_inception_export.cli.parser import make_parser
from keras_inception_export.cli.progress import stages
from keras_inception_export.errors import (
    INTERNAL_EXIT_CODE,
    ArtifactError,
    ExportError,
    RequestError,
    RuntimeMissingError,
    check_choice,
    exhausted,
    os_reason,
    reason_of,
)
from keras_inception_export.logs import logger, printable
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
        try:
            code, what = supervision.supervise(
                functools.partial(_run, arguments),
                functools.partial(_clean, arguments),
                signals,
            )
        except OSError as error:
            code = RequestError.exit_code
            what = f"no process can be started: {os_reason(error)}"
        if what:
            arguments.terminal = sys.stderr
            restore(sys.stderr)
            _fail(arguments, Outcome(), code, "Stopped", what)
        return code


def _run(arguments) -> int:
    """Run a subcommand; print its result, and an error as one line."""
    quiet = contextlib.nullcontext(sys.stderr) if arguments.debug else _quiet()
    with quiet as terminal, _restored_environment():
        arguments.terminal = terminal
        try:
            return _run_and_print(arguments)
        except BrokenPipeError:  # `head`, say, has read enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return PIPE_EXIT_CODE


def _run_and_print(arguments) -> int:
    outcome = Outcome()
    try:
        outcome = COMMANDS[arguments.command](arguments)
        if outcome.text and not arguments.json:
            write(outcome.text(), sys.stdout)
        sys.stdout.flush()
        if outcome.error:
            raise outcome.error
        if arguments.json:
            print_json(arguments.command, outcome)
    except BrokenPipeError:
        raise
    except (Exception, KeyboardInterrupt) as error:
        if arguments.debug and error is not outcome.error:
            traceback.print_exc(file=arguments.terminal)
        if error is not outcome.error:
            outcome = Outcome()
        return _fail(arguments, outcome, *_explained(error, arguments))
    print_next(arguments, outcome)
    return 0


def _explained(error, arguments) -> tuple[int, str, str]:
    """Return the exit code, the kind and the message of an error."""
    if isinstance(error, KeyboardInterrupt):
        what = supervision.STOPS["SIGINT"] + _clean(arguments)
        return 130, "Stopped", what
    reason = exhausted(error)
    if reason and not (isinstance(error, ExportError) and error.exit_code == 2):
        return RequestError.exit_code, "Exhausted", reason
    if isinstance(error, ExportError):
        return error.exit_code, type(error).__name__, str(error)
    line = (
        f"unexpected {type(error).__name__}: {reason_of(error)}; "
        "run again with --debug for details"
    )
    return INTERNAL_EXIT_CODE, "InternalError", line


def _fail(arguments, outcome, code, kind, message) -> int:
    """Print what failed, unless the text of the result says it."""
    message = " ".join(message.split())
    if arguments.json or not outcome.told:
        print_error(message, arguments.terminal)
    if arguments.json:
        error = {"kind": kind, "message": message}
        with contextlib.suppress(OSError):  # that may be what failed
            print_json(arguments.command, outcome, code=code, error=error)
    print_next(arguments, outcome)
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


def _export(arguments) -> Outcome:
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
    with stages(arguments, f"Load  {arguments.model or arguments.model_file}"):
        from keras_inception_export.model import loading
        from keras_inception_export.pipeline.export_model import run_export

        loading.import_modules(arguments.imports)
        source = arguments.model_file
        if arguments.model:
            source = functools.partial(loading.build_model, arguments.model)
        report = run_export(source, options)
        folder = Path(arguments.output)
        if arguments.report:
            logger.info("Report  %s", _write_report(folder))
    following: tuple = ("report", folder)
    if arguments.samples and not arguments.samples.endswith(".npz"):
        following = ("predict", folder, arguments.samples)
    return Outcome(
        report,
        lambda: tables.export_summary(report, arguments.output),
        next=following,
    )


def _verify(arguments) -> Outcome:
    from keras_inception_export.bundle.bundle import read_report
    from keras_inception_export.verification.verify import verify

    folder = arguments.bundle
    error: ExportError | None = None
    with stages(arguments, f"Verify  {folder}"):
        results = verify(folder, sha256=arguments.sha256)
    report = read_report(Path(folder))
    failed = [result.name for result in results if result.findings]
    if failed:
        error = ArtifactError(f"{folder}: failed {', '.join(failed)}")
    elif not any(result.passed for result in results):
        error = RuntimeMissingError(
            f"{folder}: no artifact could be run, so nothing is "
            f"verified: {'; '.join(result.missing for result in results)}"
        )
    return Outcome(
        tables.results_as_json(results),
        lambda: tables.verification(results, folder, report),
        error=error,
        told=bool(failed),
        next=("diagnose" if failed else "benchmark", folder),
    )


def _diagnose(arguments) -> Outcome:
    from keras_inception_export.cli.diagnosis_table import table
    from keras_inception_export.diagnosis.diagnose import diagnose

    folder = arguments.bundle
    error: ExportError | None = None
    with stages(arguments, f"Diagnose  {folder}"):
        diagnoses = diagnose(folder)
    failed = [x.path for x in diagnoses if not x.passed]
    if failed:
        error = ArtifactError(f"{folder}: {', '.join(failed)} diverges")
    elif not any(diagnosis.layers for diagnosis in diagnoses):
        error = RuntimeMissingError(
            f"{folder}: no artifact could be examined; that needs "
            "a TFLite or ONNX artifact and its runtime"
        )
    return Outcome(
        {"artifacts": [diagnosis.as_json() for diagnosis in diagnoses]},
        lambda: table(diagnoses, everything=arguments.all),
        error=error,
        told=bool(failed),
        next=("report", folder),
    )


def _predict(arguments) -> Outcome:
    from keras_inception_export.cli.predict import predict

    return predict(arguments)


def _info(arguments) -> Outcome:
    from keras_inception_export.bundle.info import describe
    from keras_inception_export.bundle.snippets import snippet

    path, language = arguments.path, arguments.code
    if language is not None:
        code = snippet(path, language)
        facts = {"path": path, "language": language, "code": code}
        return Outcome(facts, lambda: code.removesuffix("\n"))
    facts = describe(path)
    following: tuple = ()
    if facts["kind"] == "bundle":
        following = ("verify", path)
    elif facts["kind"] == "keras":
        following = ("export", path, "--output", Path(path).with_suffix(""))
    else:
        with contextlib.suppress(ExportError):
            snippet(path, "python")
            following = ("info", path, "--code", "python")
    return Outcome(facts, lambda: tables.information(facts), next=following)


def _benchmark(arguments) -> Outcome:
    from keras_inception_export.benchmarking.run import benchmark

    with stages(arguments, f"Read  {arguments.bundle}"):
        result = benchmark(
            arguments.bundle,
            batch_size=arguments.batch_size,
            threads=arguments.threads,
            rounds=arguments.rounds,
            keras_file=arguments.keras,
            modules=arguments.imports,
            seed=arguments.seed,
        )
    return Outcome(
        result,
        lambda: tables.benchmark(result),
        next=("report", arguments.bundle),
    )


def _report(arguments) -> Outcome:
    bundle = arguments.bundle
    with stages(arguments, f"Report  {bundle}"):
        path = _write_report(
            Path(bundle),
            arguments.output,
            samples=arguments.samples,
            benchmark=arguments.benchmark,
        )
    return Outcome(
        {"path": str(path)},
        lambda: printable(f"The report is in {path}"),
        next=("verify" if arguments.benchmark else "benchmark", bundle),
    )


def _write_report(bundle, output=None, **options) -> Path:
    from keras_inception_export.report.write import write_report

    return write_report(bundle, output, **options)


def _completion(arguments) -> Outcome:
    from keras_inception_export.cli.completion import script

    text = script(arguments.shell)
    facts = {"shell": arguments.shell, "script": text}
    return Outcome(facts, lambda: text)


def _help(arguments) -> Outcome:
    parser = make_parser()
    if arguments.topic:
        parsers = parser.commands.choices
        check_choice("command", arguments.topic, parsers)
        parser = parsers[arguments.topic]
    text = parser.format_help().removesuffix("\n")
    return Outcome({"text": text}, lambda: text)


COMMANDS: dict[str, Callable[[Any], Outcome]] = {
    "export": _export,
    "verify": _verify,
    "diagnose": _diagnose,
    "predict": _predict,
    "info": _info,
    "benchmark": _benchmark,
    "report": _report,
    "completion": _completion,
    "help": _help,
}


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
