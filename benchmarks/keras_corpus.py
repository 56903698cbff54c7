"""Export every layer that Keras tests, and judge what the artifacts compute.

    python benchmarks/keras_corpus.py --results build/corpus.jsonl

The models are those of Keras's own layer tests, which its wheel contains, the
families of `keras.applications`, and small models of keras-hub, if that is
installed. Each is exported to each format by this project and by Keras. The
artifacts are run by the bare runtimes on inputs that the exporter did not
choose, and compared with the live model.

Each result is a line of JSON. What has a result is not repeated, so the
command goes on where it was stopped. A worker process does the work: if it
crashes or takes too long, that is the result. At the end the results are
summed up in `docs/supported_layers.md`.
"""

import argparse
import json
import multiprocessing
import re
import time
from collections import Counter
from pathlib import Path

from corpus import page
from corpus.worker import PARTS, serve

FORMATS = ("onnx", "tflite", "saved_model")
EXPORTERS = ("ours", "keras")
LIMITS = {"layers": 120, "applications": 600, "hub": 300}
"""Seconds for one export, including the first call of the live model."""
TASKS = 400
"""Exports after which a worker is replaced: TensorFlow's memory grows."""


class Worker:
    """Runs requests in a process, which is replaced if it ends."""

    def __init__(self, log: Path):
        self._log, self._process, self._tasks = log, None, 0
        self._context = multiprocessing.get_context("spawn")

    def call(self, part: str, request, seconds: float):
        """Return the answer to a request; raise RuntimeError without one."""
        if self._process is None or self._tasks >= TASKS:
            self.close()
            self._connection, other = self._context.Pipe()
            self._process = self._context.Process(
                target=serve, args=(other, str(self._log)), daemon=True
            )
            self._process.start()
            other.close()
            self._tasks = 0
        if self._tasks == 0:
            seconds += 300  # imports, and Keras's tests are run
        self._tasks += 1
        try:
            self._connection.send((part, request))
            if self._connection.poll(seconds):
                return self._connection.recv()
            reason = f"no result within {seconds} seconds"
        except (EOFError, OSError):
            self._process.join(10)
            reason = f"the process ended with {self._process.exitcode}"
        self.close()
        raise RuntimeError(reason)

    def close(self):
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def main():
    """Run what is missing, print each result, and write the page."""
    arguments = _parse()
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    done = page.read(arguments.results)
    log = arguments.results.with_suffix(".log")
    worker = Worker(log)
    with open(arguments.results, "a", encoding="utf-8") as file:
        for part in () if arguments.page_only else arguments.part:
            for task in _tasks(worker, part, arguments, done):
                seconds = LIMITS[part] * arguments.seconds_factor
                record = _run(worker, part, task, seconds)
                file.write(json.dumps(record) + "\n")
                file.flush()
                _print(record)
    worker.close()
    results = page.read(arguments.results)
    counts = Counter(
        (x["part"], x["format"], x["exporter"], x["status"])
        for x in results.values()
    )
    for key in sorted(counts):
        print("{:<13} {:<12} {:<6} {:<12}".format(*key), counts[key])
    if arguments.page:
        arguments.page.write_text(page.render(results), encoding="utf-8")
        print(f"wrote {arguments.page}")


def _parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    add("--exporters", nargs="+", choices=EXPORTERS, default=EXPORTERS)
    add("--part", nargs="+", choices=PARTS, default=PARTS)
    add(
        "--seconds-factor",
        type=float,
        default=1,
        metavar="N",
        help="let each export take N times as long, on a busy machine",
    )
    add("--only", type=re.compile, help="names of models, such as 'Conv.*'")
    add(
        "--again",
        nargs="*",
        metavar="STATUS",
        help="repeat what has a result, or one of these results",
    )
    add("--results", type=Path, default=Path("build/corpus.jsonl"))
    add("--page", type=Path, help="write this page, docs/supported_layers.md")
    add("--page-only", action="store_true", help="run nothing")
    return parser.parse_args()


def _tasks(worker, part, arguments, done):
    """Yield the name, row, text, format and exporter of what must be run."""
    for case in worker.call(part, None, 300):
        if arguments.only and not arguments.only.fullmatch(case[0]):
            continue
        for format_name in arguments.formats:
            for exporter in arguments.exporters:
                old = done.get((part, case[0], format_name, exporter))
                again = arguments.again
                if old is None or (
                    again is not None and (not again or old["status"] in again)
                ):
                    yield (*case, format_name, exporter)


def _run(worker, part, task, limit):
    name, row, text, format_name, exporter = task
    start = time.perf_counter()
    try:
        request = (name, format_name, exporter)
        result = worker.call(part, request, limit)
    except RuntimeError as error:
        seconds = round(time.perf_counter() - start, 1)
        result = {"status": "crashed", "detail": str(error), "seconds": seconds}
    return {
        "part": part,
        "name": name,
        "row": row,
        "text": text,
        "format": format_name,
        "exporter": exporter,
        **result,
    }


def _print(record):
    print(
        "{name:<28} {format:<12} {exporter:<6} {status:<11}".format(**record),
        record.get("detail", "")[:150],
        flush=True,
    )


if __name__ == "__main__":
    main()
