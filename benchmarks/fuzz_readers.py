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
import io
import itertools
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

from file_changes import (
    change_arrays,
    change_bytes,
    change_onnx,
    change_parquet,
    change_report,
    change_saved_model,
    change_tar,
    change_xml,
    some_bytes,
)
from fuzz_originals import (
    FOLDER,
    image,
    npy,
    parquet,
    tar,
    write_originals,
)
from model_changes import change_archive, change_h5

FOUND = Path(__file__).parents[1] / "build/fuzz"
NOISE = "WARNING", "INFO", "I0", "E0", "keras-inception: Warning"
"""What lines on stderr start with that are no errors."""
LIMIT = 20  # seconds of processor time
MEMORY = 2e9  # bytes that one command may add, with its libraries


def stored(name):
    """Return how to read a file of the bundle."""
    return lambda: (FOLDER / name).read_bytes()


PREDICT = ["predict", "ARTIFACT", "SAMPLES", "--json"]
EVERY = [["info", "ARTIFACT"], PREDICT, ["verify", "."], ["diagnose", "."]]
IMAGES = [["predict", "ARTIFACT", "FILE", "--preprocess", "unit"]]
LOAD = [["info", "FILE"], ["load", "FILE"]]
ARTIFACTS = "model.tflite", "model.xml", "model.onnx", "saved_model"
"""The artifacts of the bundle; a file of none is read with the third."""
READERS = {
    # file: original content, change, the commands that read it
    "report.json": (
        *(stored("report.json"), some_bytes(change_report)),
        [["info", "."], ["verify", "."], ["diagnose", "."]],
    ),
    "probes.npz": (
        *(stored("probes.npz"), some_bytes(change_arrays)),
        [["verify", "."], ["diagnose", "."]],
    ),
    "layer_references.npz": (
        *(stored("layer_references.npz"), some_bytes(change_arrays)),
        [["diagnose", "."]],
    ),
    **{
        name: (stored(name), some_bytes(change), EVERY)
        for name, change in {
            "model.onnx": change_onnx,
            "model.tflite": change_bytes,
            "model.xml": change_xml,
            "model.bin": change_bytes,
            "saved_model/saved_model.pb": change_saved_model,
            "saved_model/variables/variables.index": change_bytes,
            "saved_model/assets.extra/signature.json": change_report,
        }.items()
    },
    "model.keras": (stored("model.keras"), some_bytes(change_archive), LOAD),
    "model.h5": (stored("model.h5"), some_bytes(change_h5), LOAD),
    "samples.npy": (npy, change_bytes, [["predict", "ARTIFACT", "FILE"]]),
    "image.png": (lambda: image("png"), change_bytes, IMAGES),
    "image.jpg": (lambda: image("jpeg"), change_bytes, IMAGES),
    "images.tar": (tar, some_bytes(change_tar), IMAGES),
    "images.parquet": (parquet, some_bytes(change_parquet), IMAGES),
}


def with_hashes(folder, changed):
    """Renew the hashes in the report of a bundle, and keep what can be run."""
    from keras_inception_export.bundle.bundle import sha256_of

    path = folder / "report.json"
    if changed == "report.json":
        return
    report = json.loads(path.read_text())
    report["artifacts"] = [
        x for x in report["artifacts"] if (folder / x["path"]).exists()
    ]
    for entry in [
        *(report["probes"], report["layer_references"]),
        *report["artifacts"],
    ]:
        entry["sha256"] = sha256_of(folder / entry["path"])
    path.write_text(json.dumps(report))


def call(words):
    """Run a command and return its exit code."""
    from keras_inception_export.cli import main
    from keras_inception_export.errors import ExportError

    if words[0] != "load":
        return main(words)
    from keras_inception_export.model.loading import load_model

    try:
        with warnings.catch_warnings(action="ignore"):  # as the command does
            load_model(words[1])
    except ExportError as error:
        print(str(error), file=sys.stderr)
        return error.exit_code
    return 0


def run_case(reader, content, folder):
    """Return one line per command that did not end as it must."""
    name = reader.partition("/")[0].replace(".bin", ".xml")
    artifact = name if name in ARTIFACTS else ARTIFACTS[2]
    others = set(ARTIFACTS) - {artifact}
    ignored = shutil.ignore_patterns(*others, "model.keras", "model.h5")
    shutil.copytree(FOLDER, folder, ignore=ignored, dirs_exist_ok=True)
    (folder / reader).write_bytes(content)
    with_hashes(folder, reader)
    names = {
        "FILE": folder / reader,
        "ARTIFACT": folder / artifact,
        ".": folder,
        "SAMPLES": FOLDER / "samples.npy",
    }
    found = []
    for words in READERS[reader][2]:
        words = [str(names.get(word, word)) for word in words]
        log = folder / "stderr"
        before, start = os.dup(2), time.process_time()
        memory = peak_memory()
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
        if (more := peak_memory() - memory) > MEMORY:
            found.append(f"{words[0]}: {more / 1e9:.1f} GB")
    return found


def peak_memory():
    """Return the bytes that this process had in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(reader, seed, number):
    """Run cases, and print what each found; the number of the next before."""
    make, change, _ = READERS[reader]
    with tempfile.TemporaryDirectory() as folder:
        for case in range(seed, seed + number):
            print(f"case {case}", flush=True)
            content = change(make(), random.Random(case))
            for line in run_case(reader, content, Path(folder)):
                print(f"{reader} {case} {line}", flush=True)


def work_guided(reader, seed):
    """Do the same, with files that atheris chooses, until it is killed."""
    import atheris

    make, change, _ = READERS[reader]
    cases = itertools.count(seed)
    with tempfile.TemporaryDirectory() as workdir:
        folder, corpus = Path(workdir) / "bundle", Path(workdir) / "corpus"
        folder.mkdir()
        corpus.mkdir()
        (corpus / "original").write_bytes(make())

        def run(content):
            print(f"case {(case := next(cases))}", flush=True)
            for line in run_case(reader, content, folder):
                print(f"{reader} {case} {line}", flush=True)
                FOUND.mkdir(parents=True, exist_ok=True)
                (FOUND / f"{case}-{Path(reader).name}").write_bytes(content)

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
            child = subprocess.Popen(
                [
                    sys.executable,
                    __file__,
                    "--work",
                    reader,
                    str(tried),
                    *options,
                ],
                stdout=output,
                stderr=subprocess.DEVNULL,
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
        if arguments.guided:
            return work_guided(reader, seed)
        return work(reader, seed, 1000)
    write_originals()
    options = ["--guided"] * arguments.guided
    print(f"{'file':<40} {'tried':>7} {'right':>7}")
    for reader in arguments.readers:
        tried, wrong = fuzz(reader, arguments.seconds, arguments.seed, options)
        failed = {line.split()[1] for line in wrong}
        print(f"{reader:<40} {tried:>7} {tried - len(failed):>7}", flush=True)
        for line in wrong[:10]:
            print(f"    {line[:300]}", flush=True)


if __name__ == "__main__":
    main()
