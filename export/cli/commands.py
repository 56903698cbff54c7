"""The subcommands: each calls the library and returns an outcome."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_inception_export import errors
from keras_inception_export.cli import tables
from keras_inception_export.cli.help import PAGES
from keras_inception_export.cli.output import Outcome
from keras_inception_export.cli.parser import WORDS, make_parser
from keras_inception_export.cli.progress import stages
from keras_inception_export.formats.format import lazy
from keras_inception_export.logs import logger, printable
from keras_inception_export.model.networks import NETWORKS


def _export(arguments) -> Outcome:
    from keras_inception_export.options import ExportOptions
    from keras_inception_export.pipeline.resources import (
        check_resources,
        parameters_in,
    )
    from keras_inception_export.report.write import checked_path, write_report

    # Checked before TensorFlow is imported, which takes seconds.
    options = ExportOptions(
        output_dir=arguments.output,
        **{
            field.name: value
            for field in dataclasses.fields(ExportOptions)
            if (value := getattr(arguments, field.name, None)) is not None
        },
    )
    folder = Path(arguments.output)
    if arguments.report:
        checked_path(folder)
    parameters = 0
    if arguments.model:
        errors.check_choice("model", arguments.model, NETWORKS)
    else:
        parameters = parameters_in(arguments.model_file)
    check_resources(parameters, options, loaded=False)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow's oneDNN allocator never returns memory: the peak of an export
    # of 132 M parameters was 5.9 GB with it and 3.4 GB without, in equal time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with stages(arguments, f"Load  {arguments.model or arguments.model_file}"):
        from keras_inception_export.model import loading
        from keras_inception_export.pipeline.export_model import run_export

        loading.import_modules(arguments.imports)
        source = arguments.model_file
        if arguments.model:
            source = functools.partial(loading.build_model, arguments.model)
        report = run_export(source, options)
        if arguments.report:
            logger.info("Report  %s", write_report(folder))
    following: tuple = ("verify" if arguments.report else "report", folder)
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
    error: errors.ExportError | None = None
    with stages(arguments, f"Verify  {folder}"):
        results = verify(folder, sha256=arguments.sha256)
    report = read_report(Path(folder))
    failed = [result.name for result in results if result.findings]
    if failed:
        error = errors.ArtifactError(f"{folder}: failed {', '.join(failed)}")
    elif not any(result.passed for result in results):
        error = errors.RuntimeMissingError(
            f"{folder}: no artifact could be run, so nothing is "
            f"verified: {'; '.join(result.missing for result in results)}"
        )
    facts = tables.results_as_json(results)
    return Outcome(
        facts,
        lambda: tables.verification(facts, folder, report),
        error=error,
        told=bool(failed),
        next=("diagnose" if failed else "benchmark", folder),
    )


def _diagnose(arguments) -> Outcome:
    from keras_inception_export.cli.diagnosis_table import table
    from keras_inception_export.diagnosis.diagnose import diagnose

    folder = arguments.bundle
    error: errors.ExportError | None = None
    with stages(arguments, f"Diagnose  {folder}"):
        diagnoses = diagnose(folder)
    failed = [x.path for x in diagnoses if not x.passed]
    if failed:
        error = errors.ArtifactError(f"{folder}: {', '.join(failed)} diverges")
    elif not any(diagnosis.layers for diagnosis in diagnoses):
        error = errors.RuntimeMissingError(
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
        with contextlib.suppress(errors.ExportError):
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
    from keras_inception_export.report.write import write_report

    bundle = arguments.bundle
    with stages(arguments, f"Report  {bundle}"):
        path = write_report(
            bundle,
            arguments.output,
            samples=arguments.samples,
            benchmark=arguments.benchmark,
        )
    return Outcome(
        {"path": str(path)},
        lambda: printable(f"The report is in {path}"),
        next=("verify" if arguments.benchmark else "benchmark", bundle),
    )


def _completion(arguments) -> Outcome:
    errors.check_choice("shell", arguments.shell, WORDS["SHELL"])
    try:
        import shtab
    except ImportError as error:
        raise errors.missing("completion", "shtab", error) from None
    parser = make_parser()
    parser.commands.help = None  # shtab skips what has no help text
    for name, command in parser.commands.choices.items():
        command.description = PAGES[name].summary
        for action in command._actions:
            if words := getattr(action, "words", ()):
                action.choices = list(words)
            elif getattr(action, "folder", False):
                action.complete = shtab.DIRECTORY
            elif getattr(action, "file", False):
                action.complete = shtab.FILE
    text = shtab.complete(parser, arguments.shell)
    facts = {"shell": arguments.shell, "script": text}
    return Outcome(facts, lambda: text)


def _help(arguments) -> Outcome:
    parser = make_parser()
    if arguments.topic:
        parsers = parser.commands.choices
        errors.check_choice("command", arguments.topic, parsers)
        parser = parsers[arguments.topic]
    text = parser.format_help().removesuffix("\n")
    return Outcome({"text": text}, lambda: text)


COMMANDS: dict[str, Callable[[Any], Outcome]] = {
    "export": _export,
    "verify": _verify,
    "diagnose": _diagnose,
    "predict": lazy("keras_inception_export.cli.predict:predict"),
    "info": _info,
    "benchmark": _benchmark,
    "report": _report,
    "completion": _completion,
    "help": _help,
}
"""What runs each subcommand."""
