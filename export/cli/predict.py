"""The subcommand `predict`: any number of inputs, while they are read."""

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_inception_export.bundle.artifact import Artifact, load_artifact
from keras_inception_export.cli import tables
from keras_inception_export.data.preprocessing import Preprocessing
from keras_inception_export.errors import InputError, RequestError
from keras_inception_export.logs import printable, progress_to
from keras_inception_export.prediction.pipeline import Prediction
from keras_inception_export.prediction.sources import Sources
from keras_inception_export.prediction.writers import (
    Resumed,
    check_output,
    open_writer,
    resume,
)

SHOWN = 10
"""The number of results that are shown of those that go to a file."""

Sink = Callable[[Sequence[Prediction]], Any]


def predict(arguments: Any) -> int:
    """Print or write the results of all inputs; 1 if some have none."""
    output = Path(arguments.output) if arguments.output else None
    if arguments.top < 1:
        raise RequestError(f"--top must be at least 1, got {arguments.top}")
    if output is not None:
        check_output(output, resume=arguments.resume)
    elif arguments.resume:
        raise RequestError("--resume needs the --output of the first run")
    artifact = load_artifact(
        arguments.artifact, format=arguments.format, scheme=arguments.scheme
    )
    sources = Sources(arguments.inputs, artifact.inputs)
    pipeline = artifact.pipeline(sources, _preprocessing(arguments))
    items = iter(sources)
    done = Resumed()
    if output is not None and arguments.resume:
        done = resume(
            *(output, items, artifact.outputs, arguments.top),
            pipeline.batch_size,
        )
    total, failed, error = done.items, done.failed, done.error
    with (
        _sinks(arguments, artifact, output, done) as sinks,
        _progress_bar(arguments, sources, done) as advance,
        progress_to(lambda line: _warn(arguments, line)),
        contextlib.closing(pipeline(items)) as batches,
    ):
        for batch in batches:
            for sink in sinks:
                sink(batch)
            advance(len(batch))
            total += len(batch)
            errors = [x.error for x in batch if x.error is not None]
            failed += len(errors)
            error = error or next(iter(errors), None)
    if not total:
        raise RequestError(
            f"{', '.join(arguments.inputs)}: nothing to predict; expected at "
            "least one image or sample"
        )
    if failed == total:
        more = f" (and {failed - 1} others)" if failed > 1 else ""
        raise RequestError(f"{error}{more}")
    if failed:
        raise InputError(
            f"{failed:,} of {total:,} inputs have no result, the first one "
            f"because {error}"
        )
    return 0


def _preprocessing(arguments: Any) -> str | Preprocessing | None:
    if arguments.pixel_scale is None:
        return arguments.preprocess
    if arguments.preprocess is not None:
        raise RequestError(
            "--preprocess and --pixel-scale both say how pixels become inputs; "
            "give one of them"
        )
    return Preprocessing(scale=arguments.pixel_scale)


def _warn(arguments: Any, line: str) -> None:
    line = printable(f"keras-inception: {line}")
    print(line, file=arguments.terminal)


@contextlib.contextmanager
def _sinks(
    arguments: Any, artifact: Artifact, output: Path | None, done: Resumed
) -> Iterator[list[Sink]]:
    """Yield what takes the results of every batch."""
    with contextlib.ExitStack() as stack:
        sinks: list[Sink] = []
        table = tables.Predictions(arguments.top)
        if arguments.json:
            collected: list[Prediction] = []
            sinks.append(collected.extend)
        elif output is None:
            sinks.append(lambda batch: print(table.text(batch), flush=True))
        else:
            shown: list[Prediction] = []
            sinks.append(
                lambda batch: shown.extend(batch[: SHOWN - len(shown)])
            )
        if output is not None:
            writer = open_writer(
                output, artifact.outputs, arguments.top, resumed=done.length
            )
            stack.callback(writer.close)
            sinks.append(writer.write)
        yield sinks
    if arguments.json:
        print(json.dumps(_as_json(collected, artifact)))
    elif output is not None and shown:
        print(table.text(shown))


def _as_json(predictions: Sequence[Prediction], artifact: Artifact) -> dict:
    found = [x for x in predictions if x.error is None]
    errors = {x.name: x.error for x in predictions if x.error is not None}
    return {
        "samples": [tables.short_name(x.name) for x in found],
        "outputs": {
            spec.name: [x.outputs[spec.name].tolist() for x in found]
            for spec in artifact.outputs
        },
        **({"errors": errors} if errors else {}),
    }


@contextlib.contextmanager
def _progress_bar(
    arguments: Any, sources: Sources, done: Resumed
) -> Iterator[Callable[[int], Any]]:
    """Yield what advances a bar on a terminal that has no table."""
    visible = arguments.terminal.isatty() and (
        arguments.output or arguments.json or not sys.stdout.isatty()
    )
    with contextlib.ExitStack() as stack:
        advance: Callable[[int], Any] = lambda number: None  # noqa: E731
        if visible:
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                bar = tqdm(
                    total=sources.count(),
                    initial=done.items,
                    unit=" images" if sources.images else " samples",
                    file=arguments.terminal,
                    ncols=shutil.get_terminal_size().columns,
                )
                advance = stack.enter_context(bar).update
        yield advance
