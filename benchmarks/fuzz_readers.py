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
import zipfile
from pathlib import Path

import numpy as np

BUNDLE = Path(__file__).parents[1] / "tests/data/0.1.0/bundle"
FOUND = Path(__file__).parents[1] / "build/fuzz"
NOISE = "WARNING", "INFO", "I0", "E0"  # of libraries, on stderr
LIMIT = 20  # seconds of processor time
ODD = [
    *(None, True, "", "x" * 300, "\x1b[2J\n", "../x", "\ud800", [], {}, [[]]),
    *(0, -1, 1.5, 1e308, -1e9, 2**31, 2**63, 10**30, "1e9", "NaN"),
]


def change_json(value, rng):
    """Return JSON in which one value is removed, replaced or repeated."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.9:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(list(keys))
        value = value.copy()
        if rng.random() < 0.1:
            del value[key]
        else:
            value[key] = change_json(value[key], rng)
        return value
    return rng.choice([*ODD, [value] * 3, {"a": value}])


def change_bytes(content, rng):
    """Return content in which a few places are changed."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(content) or 1)
        size = rng.choice([1, 1, 2, 4, 8, 64])
        kind = rng.randrange(5)
        if kind == 0:
            content[at : at + size] = rng.randbytes(size)
        elif kind == 1:
            content[at : at + 1] = bytes([rng.choice([0, 1, 127, 128, 255])])
        elif kind == 2:
            del content[at : at + size]
        elif kind == 3:
            other = rng.randrange(len(content) or 1)
            content[at:at] = content[other : other + size]
        elif rng.random() < 0.2:
            del content[at:]
    return bytes(content)


def change_arrays(content, rng):
    """Return a `.npz` file in which one array is changed."""
    with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
    name = rng.choice(list(arrays))
    array = arrays[name]
    if array.dtype == np.uint8 and rng.random() < 0.9:  # JSON as bytes
        index = change_json(json.loads(array.tobytes()), rng)
        arrays[name] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    else:
        number = array.dtype.kind in "iuf"
        arrays[name] = rng.choice(
            [
                lambda: array[:0],
                lambda: array[None],
                lambda: array.ravel(),
                lambda: array.astype("f2" if number else "S3"),
                lambda: array * np.nan if number else array[::-1],
                lambda: array * 0 if number else array.astype("S1"),
                lambda: array * 1e9 if number else array.reshape(-1, 1),
                lambda: np.array(3),
                lambda: np.zeros((3, 2), [("a", "f4"), ("b", "S2")]),
            ]
        )()
    if rng.random() < 0.2:
        other = rng.choice(["feeds/99/x", "x", "feeds/-1/image", "a/b/c"])
        arrays[other] = arrays.pop(name)
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def change_archive(content, rng):
    """Return a `.keras` file in which one file is changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(files))
    if name.endswith(".json") and rng.random() < 0.8:
        text = json.dumps(change_json(json.loads(files[name]), rng))
        files[name] = text.encode()
    else:
        files[name] = change_bytes(files[name], rng)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, part in files.items():
            archive.writestr(name, part)
    return target.getvalue()


def change_message(message, rng):
    """Change one field of a protobuf message, however deep."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = rng.choice(fields)
    if field.type == field.TYPE_MESSAGE:
        if field.is_repeated:
            kind = rng.random()
            if kind < 0.1:
                value.add().CopyFrom(rng.choice(value))
            elif kind < 0.2:
                del value[rng.randrange(len(value))]
            else:
                change_message(rng.choice(value), rng)
        else:
            change_message(value, rng)
        return
    if field.is_repeated and rng.random() < 0.3:
        value.append(rng.choice(value))
        return
    odd = {
        field.CPPTYPE_STRING: (
            [b"", b"x", b"\xff" * 9]
            if field.type == field.TYPE_BYTES
            else ["", "x", "../x", "\x1b[2J\n", "Loop"]
        ),
        field.CPPTYPE_FLOAT: [0.0, -1.0, 1e30, float("nan")],
    }.get(field.cpp_type, [0, 1, 2, 7, 8, 127, 2**31 - 1])
    if field.is_repeated:
        value[rng.randrange(len(value))] = rng.choice(odd)
    else:
        setattr(message, field.name, rng.choice(odd))


def change_onnx(content, rng):
    """Return an ONNX file in which one field is changed."""
    import onnx

    model = onnx.ModelProto.FromString(content)
    change_message(model, rng)
    return model.SerializeToString()


def some_bytes(change):
    """Return a change that is `change`, or now and then one of bytes."""
    return lambda content, rng: (
        change_bytes(content, rng)
        if rng.random() < 0.3
        else change(content, rng)
    )


def change_report(content, rng):
    """Return a report in which one value is changed."""
    return json.dumps(change_json(json.loads(content), rng)).encode()


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
PREDICT = ["predict", "FILE", "SAMPLES", "--json"]
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
    "model.onnx": (
        *(stored("model.onnx"), some_bytes(change_onnx)),
        [["info", "FILE"], PREDICT, ["verify", "."], ["diagnose", "."]],
    ),
    "model.tflite": (
        *(stored("model.tflite"), change_bytes),
        [["info", "FILE"], PREDICT, ["verify", "."], ["diagnose", "."]],
    ),
    "model.keras": (
        stored("../model.keras"),
        some_bytes(change_archive),
        [["info", "FILE"], ["load", "FILE"]],
    ),
    "samples.npy": (npy, change_bytes, [["predict", str(ONNX), "FILE"]]),
    "image.png": (
        *(lambda: image("png"), change_bytes),
        [["predict", str(ONNX), "FILE"]],
    ),
    "image.jpg": (
        *(lambda: image("jpeg"), change_bytes),
        [["predict", str(ONNX), "FILE"]],
    ),
}


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
    commands = READERS[reader][2]
    for name in ("report.json", "probes.npz", "layer_references.npz"):
        shutil.copy(BUNDLE / name, folder / name)
    artifact = TFLITE if reader == "model.tflite" else ONNX
    shutil.copy(artifact, folder / artifact.name)
    (folder / reader).write_bytes(content)
    with_hashes(folder, reader)
    found = []
    for words in commands:
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
