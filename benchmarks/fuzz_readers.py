"""Change files at random, and read them with every command that does.

    python benchmarks/fuzz_readers.py --seconds 60 [--guided]

With `--guided`, atheris chooses which files to change further: those that reach
new lines of this package. What went wrong is then kept in `build/fuzz`.

Each reader runs in a process of its own, which may crash or hang. A run is
right if the command succeeds, or ends with exit code 1 or 2 and one line, in
`LIMIT` seconds. What is not right is printed with the number of the case, which
is its seed unless guided: `--seed` repeats it.
"""

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from file_changes import (
    change_archive,
    change_arrays,
    change_bytes,
    change_onnx,
    change_report,
    some_bytes,
)

BUNDLE = Path(__file__).parents[1] / "tests/data/0.1.0/bundle"
FOUND = Path(__file__).parents[1] / "build/fuzz"
NOISE = "WARNING", "INFO", "I0", "E0", "keras-inception: Warning"
"""What lines on stderr start with that are no errors."""
LIMIT = 20  # seconds of processor time


def image(suffix):
    """Return the content of an image."""
    from PIL import Image

    content = io.BytesIO()
    pixels = np.arange(192, dtype="uint8").reshape(8, 8, 3)
    Image.fromarray(pixels).save(content, suffix)
    return content.getvalue()


def npy():
    """Return the content of a `.npy` file."""
    content = io.BytesIO()
    np.save(content, np.zeros((2, 8, 8, 3), "f4"))
    return content.getvalue()


def stored(name):
    """Return how to read a file of the bundle."""
    return lambda: (BUNDLE / name).read_bytes()


ONNX, TFLITE = BUNDLE / "model.onnx", BUNDLE / "model.tflite"
OF_BUNDLE = [["verify", "."], ["diagnose", "."]]
OF_ARTIFACT = [
    ["info", "FILE"],
    ["predict", "FILE", "SAMPLES", "--json"],
    *OF_BUNDLE,
]
OF_SAMPLES = [["predict", str(ONNX), "FILE"]]
READERS = {
    "report.json": (change_report, [["info", "."], *OF_BUNDLE]),
    "probes.npz": (change_arrays, OF_BUNDLE),
    "layer_references.npz": (change_arrays, OF_BUNDLE[1:]),
    "model.onnx": (change_onnx, OF_ARTIFACT),
    "model.tflite": (change_bytes, OF_ARTIFACT),
    "model.keras": (change_archive, [["info", "FILE"], ["load", "FILE"]]),
    "samples.npy": (change_bytes, OF_SAMPLES),
    "image.png": (change_bytes, OF_SAMPLES),
    "image.jpg": (change_bytes, OF_SAMPLES),
}
"""For each file the change, and the commands that read it."""
CONTENTS = {
    "model.keras": stored("../model.keras"),
    "samples.npy": npy,
    "image.png": lambda: image("png"),
    "image.jpg": lambda: image("jpeg"),
}
"""What makes the original content, if it is not a file of the bundle."""


def original(reader):
    """Return the content of a file, and a change of a few bytes or of more."""
    change = READERS[reader][0]
    if change is not change_bytes:
        change = some_bytes(change)
    return CONTENTS.get(reader, stored(reader))(), change


def with_hashes(folder, changed):
    """Renew the hashes in the report of a bundle, and keep what can be run."""
    path = folder / "report.json"
    if changed == "report.json":
        return
    report = json.loads(path.read_text())
    for entry in [
        *(report["probes"], report["layer_references"]),
        *report["artifacts"],
    ]:
        if (folder / entry["path"]).is_file():
            content = (folder / entry["path"]).read_bytes()
            entry["sha256"] = hashlib.sha256(content).hexdigest()
    report["artifacts"] = [
        x for x in report["artifacts"] if (folder / x["path"]).is_file()
    ]
    path.write_text(json.dumps(report))


def call(words):
    """Run a command and return its exit code."""
    from keras_inception_export.cli import main
    from keras_inception_export.errors import ExportError

    if words[0] != "load":
        return main(words)
    from keras_inception_export.model.loading import load_model

    try:
        load_model(words[1])
    except ExportError as error:
        print(str(error), file=sys.stderr)
        return error.exit_code
    return 0


def run_case(reader, content, folder):
    """Return one line per command that did not end as it must."""
    for name in ("report.json", "probes.npz", "layer_references.npz"):
        shutil.copy(BUNDLE / name, folder / name)
    artifact = TFLITE if reader == "model.tflite" else ONNX
    shutil.copy(artifact, folder / artifact.name)
    (folder / reader).write_bytes(content)
    with_hashes(folder, reader)
    found = []
    for words in READERS[reader][1]:
        names = {"FILE": folder / reader, ".": folder, "SAMPLES": SAMPLES}
        words = [str(names.get(word, word)) for word in words]
        log = folder / "stderr"
        before, start = os.dup(2), time.process_time()
        with open(log, "w") as file:
            os.dup2(file.fileno(), 2)
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    code = call(words)
            except BaseException as error:
                code = f"{type(error).__name__} {error}"
            finally:
                os.dup2(before, 2)
                os.close(before)
        seconds = time.process_time() - start
        lines = log.read_text(errors="replace").splitlines()
        said = [x for x in lines if not x.startswith(NOISE)]
        one_line = len(said) == 1 or code == 1 and not said
        if not (code == 0 or code in (1, 2) and one_line):
            found.append(f"{words[0]}: {code} {said[-1:]}")
        if seconds > LIMIT:
            found.append(f"{words[0]}: {seconds:.0f} s")
    return found


SAMPLES = Path(tempfile.gettempdir()) / "fuzz_samples.npy"


def work(reader, seed, number):
    """Run cases, and print what each found; the number of the next before."""
    content, change = original(reader)
    with tempfile.TemporaryDirectory() as folder:
        for case in range(seed, seed + number):
            print(f"case {case}", flush=True)
            changed = change(content, random.Random(case))
            for line in run_case(reader, changed, Path(folder)):
                print(f"{reader} {case} {line}", flush=True)


def work_guided(reader, seed):
    """Do the same, with files that atheris chooses, until it is killed."""
    import atheris

    content, change = original(reader)
    cases = itertools.count(seed)
    with tempfile.TemporaryDirectory() as workdir:
        folder, corpus = Path(workdir) / "bundle", Path(workdir) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        (corpus / "original").write_bytes(content)

        def run(content):
            print(f"case {(case := next(cases))}", flush=True)
            for line in run_case(reader, content, folder):
                print(f"{reader} {case} {line}", flush=True)
                FOUND.mkdir(parents=True, exist_ok=True)
                (FOUND / f"{case}-{reader}").write_bytes(content)

        def mutate(content, max_size, seed):
            rng = random.Random(seed)
            try:
                content = change(content, rng)
            except Exception:  # it is too damaged to be parsed
                content = change_bytes(content, rng)
            return content[:max_size]

        words = [sys.argv[0], str(corpus), "-max_len=9999999", f"-seed={seed}"]
        with atheris.instrument_imports(include=["keras_inception_export"]):
            words += ["-rss_limit_mb=0", "-timeout=999"]
            atheris.Setup(words, run, custom_mutator=mutate)
            atheris.Fuzz()


def fuzz(reader, seconds, seed, options=()):
    """Return the cases tried and what went wrong, for one reader."""
    tried, wrong, end = seed, [], time.time() + seconds
    while time.time() < end:
        with tempfile.TemporaryFile("w+") as output:
            words = [sys.executable, __file__, "--work", reader, str(tried)]
            child = subprocess.Popen(
                [*words, *options], stdout=output, stderr=subprocess.DEVNULL
            )
            last, size = time.time(), 0
            while child.poll() is None and time.time() < end:
                time.sleep(0.2)
                if (now := os.fstat(output.fileno()).st_size) > size:
                    size, last = now, time.time()
                if time.time() - last > 5 * LIMIT:
                    child.kill()
            died = child.poll()
            child.kill()
            child.wait()
            output.seek(0)
            lines = output.read().splitlines()
        cases = [int(x.split()[1]) for x in lines if x.startswith("case ")]
        wrong += [x for x in lines if not x.startswith("case ")]
        if cases:
            tried = cases[-1] + 1
        if died:
            wrong.append(f"{reader} {tried - 1} died: {died}")
    return tried - seed, wrong


def main():
    """Fuzz every reader and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("readers", nargs="*", default=list(READERS))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", action="store_true")
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        reader, seed = arguments.work[0], int(arguments.work[1])
        np.save(SAMPLES, np.zeros((1, 8, 8, 3), "f4"))
        if arguments.guided:
            return work_guided(reader, seed)
        return work(reader, seed, 1000)
    options = ["--guided"] * arguments.guided
    print(f"{'file':<22} {'tried':>7} {'right':>7}")
    for reader in arguments.readers:
        tried, wrong = fuzz(reader, arguments.seconds, arguments.seed, options)
        failed = {line.split()[1] for line in wrong}
        print(f"{reader:<22} {tried:>7} {tried - len(failed):>7}", flush=True)
        for line in wrong[:10]:
            print(f"    {line[:300]}", flush=True)


if __name__ == "__main__":
    main()
