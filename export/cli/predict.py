"""The subcommand `predict`: any number of inputs, while they are read."""

import contextlib
import os
import sys
from collections.abc import Callable, Generator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from keras_inception_export.bundle import bundle
from keras_inception_export.bundle.artifact import Artifact, load_artifact
from keras_inception_export.bundle.publication import replaced
from keras_inception_export.cli import tables
from keras_inception_export.cli.output import Outcome, write
from keras_inception_export.cli.progress import counted
from keras_inception_export.data.preprocessing import Preprocessing
from keras_inception_export.data.sources import Sources, matches
from keras_inception_export.errors import (
    ExportError,
    InputError,
    RequestError,
    check_choice,
)
from keras_inception_export.formats.format import lazy
from keras_inception_export.logs import printable
from keras_inception_export.prediction.lines import (
    LINES,
    Resumed,
    check_resumed,
    resume,
)
from keras_inception_export.prediction.pipeline import Pipeline, Prediction
from keras_inception_export.prediction.writers import check_output, open_writer

SHOWN = 10
"""The number of results that are shown of those that go to a file."""


def predict(arguments: Any) -> Outcome:
    """Print or write the results of all inputs; an error if some have none."""
    output = None if arguments.output is None else Path(arguments.output)
    if arguments.top < 1:
        raise RequestError(f"--top must be at least 1, got {arguments.top}")
    if output is not None:
        check_output(output, resume=arguments.resume)
    elif arguments.resume:
        raise RequestError("--resume needs the --output of the first run")
    check_choice("engine", arguments.engine, ENGINES)
    options = {"format": arguments.format, "scheme": arguments.scheme}
    artifact = load_artifact(arguments.artifact, **options)
    if output is not None and output.exists():
        _check_not_needed(output.resolve(), arguments.inputs)
    preprocess = _preprocessing(arguments)
    sources = Sources(arguments.inputs, artifact.inputs, preprocess)
    known = sources.images, preprocess
    pipeline = artifact.pipeline(*known)
    items = iter(sources)
    done = Resumed()
    if output is not None and arguments.resume:
        done = resume(
            *(output, items, artifact.outputs, arguments.top),
            pipeline.batch_size,
        )
        check_resumed(output, done, pipeline, arguments.top)
    batches = ENGINES[arguments.engine](
        *(pipeline, partial(_open, arguments.artifact, options, known)),
        *(items, arguments.workers),
    )
    total, failed, first = done.items, done.failed, done.error
    table = tables.Predictions(arguments.top, _root(arguments.inputs))
    collected: list[Prediction] = []
    sinks: list[Callable[[Sequence[Prediction]], Any]] = []
    if arguments.json or output is not None:
        most = sys.maxsize if arguments.json else SHOWN
        sinks.append(lambda x: collected.extend(x[: most - len(collected)]))
    else:
        sinks.append(lambda batch: write(table.text(batch), sys.stdout))
    with contextlib.ExitStack() as stack:
        if output is not None:
            part = output
            if output.suffix not in LINES:  # which could not be continued
                part = stack.enter_context(replaced(output))
            writer = open_writer(
                *(output, artifact.outputs, arguments.top),
                resumed=done.length,
                part=part,
            )
            sinks.append(stack.enter_context(writer))
        advance = stack.enter_context(
            counted(
                *(arguments, "Predict"),
                *("images" if sources.images else "samples", sources.count),
                done=done.items,
            )
        )
        for batch in stack.enter_context(contextlib.closing(batches)):
            for sink in sinks:
                sink(batch)
            advance(len(batch))
            errors = [x.error for x in batch if x.error is not None]
            total, failed = total + len(batch), failed + len(errors)
            first = first or next(iter(errors), None)
    if output is not None and not arguments.json:
        if collected:
            write(table.text(collected), sys.stdout)
        if total > SHOWN:
            text = f"{total:,} results are in {output}"
            write(printable(text), sys.stdout)
    return Outcome(
        _as_json(collected, artifact) if arguments.json else None,
        error=_failure(arguments.inputs, total, failed, first),
        next=_following(arguments),
    )


def _check_not_needed(output: Path, inputs: Sequence[str]) -> None:
    """Raise RequestError for an output that is an input, or of a bundle."""
    for value in chain.from_iterable(map(matches, inputs)):
        if value.exists() and output.samefile(value):
            raise RequestError(f"{output} is an input; write another file")
    parts = bundle.PROBES, bundle.LAYER_REFERENCES
    if output.name in parts and (output.parent / bundle.REPORT).exists():
        raise RequestError(f"{output} is part of a bundle; write another file")


def _root(inputs: Sequence[str]) -> str:
    """Return the path that the names of all samples begin with."""
    paths = []
    for path in map(Path, inputs):
        while set("*?[") & set(str(path)) and not os.path.lexists(path):
            path = path.parent
        paths.append(str(path))
    with contextlib.suppress(ValueError):  # absolute and relative ones
        return printable(os.path.commonpath(paths))
    return ""


def _following(arguments: Any) -> Sequence[Any]:
    """Return the next command."""
    if arguments.output is None:
        words = arguments.artifact, *arguments.inputs
        return ("predict", *words, "--output", "results.csv")
    return ("info", arguments.artifact)


def _failure(
    inputs: Sequence[str], total: int, failed: int, first: str | None
) -> ExportError | None:
    """Return an error if there are inputs without a result."""
    if not total:
        return RequestError(
            f"{', '.join(inputs[:3])}: nothing to predict; expected at least "
            "one image or sample"
        )
    if failed == total:
        more = f" (and {failed - 1} others)" if failed > 1 else ""
        return RequestError(f"{first}{more}")
    if failed:
        return InputError(
            f"{failed:,} of {total:,} inputs have no result, the first one "
            f"because {first}"
        )
    return None


def _open(path: str, options: dict, known: tuple) -> Pipeline:
    """Open the artifact on a worker, which has one core."""
    return load_artifact(path, threads=1, **options).pipeline(*known)


ENGINES: dict[str, Callable[..., Generator[list[Prediction], None, None]]] = {
    "local": lambda pipeline, _, items, workers: pipeline(items),
    "ray": lazy("keras_inception_export.prediction.ray_engine:ray_batches"),
}
"""What runs the batches, by its name."""


def _preprocessing(arguments: Any) -> str | Preprocessing | None:
    if arguments.pixel_scale is None:
        return arguments.preprocess
    if arguments.preprocess is not None:
        raise RequestError(
            "--preprocess and --pixel-scale both say how pixels become inputs; "
            "give one of them"
        )
    return Preprocessing(scale=arguments.pixel_scale)


def _as_json(predictions: Sequence[Prediction], artifact: Artifact) -> dict:
    found = [x for x in predictions if x.error is None]
    errors = {x.name: x.error for x in predictions if x.error is not None}
    return {
        "samples": [x.name for x in found],
        "outputs": {
            spec.name: [x.outputs[spec.name].tolist() for x in found]
            for spec in artifact.outputs
        },
        **({"errors": errors} if errors else {}),
    }
