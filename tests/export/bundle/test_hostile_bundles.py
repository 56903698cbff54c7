"""No bundle from outside crashes, floods or fools a command.

Each case is a file made wrong on purpose, beside the right one; those that
`benchmarks/fuzz_readers.py` found are here.
"""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_inception_export.bundle import schema_page
from keras_inception_export.bundle.bundle import entry, sha256_of
from keras_inception_export.cli import main
from tests.helpers.reports import change_report, keep_artifacts

ROOT = Path(__file__).parents[3]
BUNDLE = ROOT / "tests/data/0.1.0/bundle"


@pytest.fixture
def bundle(tmp_path):
    """A bundle with an ONNX artifact alone."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    files = ("report.json", "probes.npz", "layer_references.npz", "model.onnx")
    for name in files:
        shutil.copy(BUNDLE / name, folder)
    keep_artifacts(folder, "model.onnx")
    return folder


def run(capfd, *words):
    """Return the exit code of a command and the line that it ends with."""
    code = main([str(word) for word in words])
    shown = capfd.readouterr()
    assert shown.err.count("\n") <= 1
    return code, shown.err or shown.out


def setting(*keys, to):
    """Return a change that sets one value in nested dictionaries and lists."""

    def change(report):
        for key in keys[:-1]:
            report = report[key]
        report[keys[-1]] = to

    return change


def as_int8(tolerance):
    def change(report):
        artifact = report["artifacts"][0]
        artifact["quantization"] = "int8"
        artifact["parity"][0]["tolerance"] = tolerance

    return change


ARTIFACT = ("artifacts", 0)
DEEP = json.loads("[" * 60 + "]" * 60)
REPORTS = {
    "model": (setting("model", to=[]), "model: Input should be"),
    "versions": (lambda x: x.pop("versions"), "versions: Field required"),
    "format": (setting(*ARTIFACT, "format", to="pt"), "'pt' is none of"),
    "scheme": (setting(*ARTIFACT, "quantization", to=[8]), "quantization"),
    "path": (setting(*ARTIFACT, "path", to="a\0"), "leaves the folder"),
    "long path": (setting(*ARTIFACT, "path", to="x" * 300), "leaves the"),
    "hash": (setting(*ARTIFACT, "sha256", to="0"), "sha256: String should"),
    "huge": (setting(*ARTIFACT, "bytes", to=10**400), "bytes: Input should"),
    "number": (setting(*ARTIFACT, "bytes", to="9"), "bytes: Input should"),
    "boolean": (setting(*ARTIFACT, "bytes", to=True), "bytes: Input should"),
    "size": (setting(*ARTIFACT, "inputs", 0, "shape", to=[-1]), "shape.0"),
    "dtype": (setting(*ARTIFACT, "inputs", 0, "dtype", to="U9"), "not numbers"),
    "scale": (setting(*ARTIFACT, "inputs", 0, "scale", to=0.5), "inputs.0"),
    "no outputs": (setting(*ARTIFACT, "outputs", to=[]), "outputs: List"),
    "no parity": (setting(*ARTIFACT, "parity", to=[]), "one record per output"),
    "infinite": (
        setting(*ARTIFACT, "parity", 0, "tolerance", to=float("inf")),
        "tolerance: Input should be a finite number",
    ),
    "coverage": (setting("coverage", "layers", 0, "channels", to=0), "greater"),
    "total": (setting("coverage", "moved", to=50), "moved is not the sum"),
    "deep": (setting("later", to=DEEP), "more than 50 levels deep"),
    "regimes": (setting("probes", "regimes", "large", to=9), "other numbers"),
    "unused": (setting("probes", "unused", "zeros", to="NaN"), "or unused"),
    "later version": (setting("schema_version", to=2), "install a newer"),
}


@pytest.mark.parametrize("case", REPORTS)
def test_a_wrong_report_is_one_line(case, bundle, capfd):
    change, message = REPORTS[case]
    change_report(bundle, change)
    code, line = run(capfd, "verify", bundle)
    assert message in line
    assert code == (2 if case == "later version" else 1)


DECLARED = {
    "shape": (
        setting(*ARTIFACT, "outputs", 0, "shape", 1, to=4),
        "has the outputs.0.shape.1 3; the report declares 4",
    ),
    "rank": (
        lambda x: x["artifacts"][0]["outputs"][0]["shape"].append(1),
        "has the outputs.0.shape.2 nothing; the report declares 1",
    ),
    "format": (
        setting(*ARTIFACT, "format", to="tflite"),
        "has the format onnx; the report declares tflite",
    ),
    "size": (setting(*ARTIFACT, "bytes", to=9), "the report declares 9"),
    "failed": (
        setting(*ARTIFACT, "parity", 0, "passed", to=False),
        "has the passed True; the report declares False",
    ),
    "metadata": (
        setting("metadata", to={}),
        "has the metadata None; the report declares {}",
    ),
}


@pytest.mark.parametrize("case", DECLARED)
def test_an_artifact_is_what_its_report_declares(case, bundle, capfd):
    change, message = DECLARED[case]
    change_report(bundle, change)
    code, text = run(capfd, "verify", bundle)
    assert code == 1 and message in text and text.count("✗") == 1


def test_a_runtime_may_know_fewer_sizes_of_outputs(bundle, capfd):
    change_report(bundle, setting(*ARTIFACT, "outputs", 0, "shape", 1, to=None))
    assert run(capfd, "verify", bundle)[0] == 0


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 10**5, '{"artifacts": ' + "9" * 5000 + "}", "NaN", "\xff", ""),
        '{"artifacts": [], "artifacts": [3]}',
    ],
    ids=["deep", "number", "constant", "not UTF-8", "empty", "repeated key"],
)
def test_what_is_no_report_is_one_line(text, bundle, capfd):
    (bundle / "report.json").write_text(text, encoding="latin-1")
    for command in ("verify", "info", "diagnose", "benchmark"):
        code, line = run(capfd, command, bundle)
        assert code == 1 and "report.json is damaged" in line


@pytest.mark.parametrize(
    ("tolerance", "code"), [(0.5, 0), (1.6, 1), (1e9, 1), (None, 1)]
)
def test_the_tolerance_of_int8_is_bounded(tolerance, code, bundle, capfd):
    change_report(bundle, as_int8(tolerance))
    assert run(capfd, "verify", bundle)[0] == code


def test_unknown_keys_are_allowed(bundle, capfd):
    for keys in ((), ARTIFACT, (*ARTIFACT, "inputs", 0), ("model",)):
        change_report(bundle, setting(*keys, "later", to={"a": [1]}))
    assert run(capfd, "verify", bundle)[0] == 0
    assert run(capfd, "info", bundle)[0] == 0


def test_the_page_on_reports_names_every_key():
    page = (ROOT / "docs/report.md").read_text()
    assert page == schema_page.document()
    found = dict(schema_page.fields())
    assert all(f"| `{x}` | {text} |" in page for x, text in found.items())
    assert not any("\n" in text for text in found.values())
    assert all(found.values())
    assert "artifacts[].parity[].tolerance" in found

    def keys(value, prefix=""):
        if isinstance(value, list):
            for item in value:
                yield from keys(item, f"{prefix[:-1]}[].")
        elif isinstance(value, dict) and prefix != "versions.":
            for key, item in value.items():
                yield f"{prefix}{key}"
                yield from keys(item, f"{prefix}{key}.")

    report = json.loads((BUNDLE / "report.json").read_text())
    del report["probes"]["regimes"]
    assert set(keys(report)) <= found.keys()


def of_each(parts, function):
    def change(arrays):
        for key in arrays:
            if key.startswith(parts):
                arrays[key] = function(arrays[key])

    return change


def without_batches(arrays):
    for key in list(arrays):
        if key != "unused":
            del arrays[key]
    arrays["regimes"] = np.empty(0, "U1")


OUTPUTS = ("reference/", "keras/")
PROBES = {
    "error of Keras": (of_each("keras", lambda x: x * 1e9), "Keras itself is"),
    "infinite error": (of_each("keras", lambda x: x * np.inf), "not finite"),
    "NaN": (of_each("reference", lambda x: x * np.nan), "not finite"),
    "no samples": (of_each(("feeds/", *OUTPUTS), lambda x: x[:0]), "is empty"),
    "no batches": (without_batches, "no usual inputs"),
    "constant": (of_each(OUTPUTS, np.ones_like), "hardly depends on the input"),
    "strings": (of_each("keras", lambda x: x.astype("U9")), "no batch of"),
    "numbers": (of_each("keras", lambda x: x.ravel()[0]), "different shapes"),
    "scalars": (of_each("feeds", lambda x: x.ravel()[0]), "no batch of"),
    "shape": (of_each("feeds", lambda x: x[..., :2]), "has the shape"),
    "fewer": (of_each("feeds", lambda x: x[:1]), "other numbers of inputs"),
    "outputs": (of_each("keras", lambda x: x[:, :1]), "different shapes"),
    "name": (lambda x: x.update({"feeds/0/y": np.ones(1)}), "different name"),
    "batch": (lambda x: x.update({"feeds/99/y": np.ones(1)}), "IndexError"),
    "key": (lambda x: x.update({"y": np.ones(1)}), "is damaged"),
    "missing": (lambda x: x.pop("regimes"), "KeyError 'regimes'"),
}


def change_arrays(folder, name, change):
    with np.load(folder / f"{name}.npz") as file:
        arrays = dict(file)
    change(arrays)
    np.savez(folder / f"{name}.npz", **arrays)
    hashes = entry(folder, f"{name}.npz")
    change_report(folder, lambda report: report[name].update(hashes))


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("case", PROBES)
def test_probes_that_verify_nothing_never_pass(case, bundle, capfd):
    change, message = PROBES[case]
    change_arrays(bundle, "probes", change)
    code, line = run(capfd, "verify", bundle)
    assert code == 1 and message in line


def changed_index(*keys, to):
    def change(arrays):
        index = json.loads(arrays["index"].tobytes())
        setting(*keys, to=to)(index)
        text = json.dumps(index).encode()
        arrays["index"] = np.frombuffer(text, np.uint8)

    return change


REFERENCES = {
    "index": changed_index("layers", to=3),
    "text": lambda x: x.update(index=np.frombuffer(b"[" * 10**5, np.uint8)),
    "axis": changed_index("layers", 0, "channel_axis", to=9),
    "count": changed_index("layers", 0, "count", to=10**12),
    "source": changed_index("layers", 1, "source", to=1),
    "other sources": changed_index("layers", 1, "other_sources", to=[0, 1]),
    "scale": changed_index("layers", 0, "scale", to=0.0),
    "shape": changed_index("layers", 0, "shape", to=[]),
    "equalized": changed_index("equalized", to=1),
    "locations": changed_index("artifacts", "model.onnx", to=[]),
    "positions": lambda x: x.update(positions=x["positions"][::-1]),
    "far": lambda x: x.update(positions=x["positions"] * 10**9),
    "dtype": lambda x: x.update(positions=x["positions"].astype("f8")),
    "NaN": lambda x: x.update(values=x["values"] * np.nan),
    "values": lambda x: x.update(values=x["values"][None]),
}


@pytest.mark.parametrize("case", REFERENCES)
def test_wrong_layer_references_are_one_line(case, bundle, capfd):
    change_arrays(bundle, "layer_references", REFERENCES[case])
    code, line = run(capfd, "diagnose", bundle)
    assert code == 1 and "layer_references.npz is damaged" in line


def test_a_name_that_is_not_utf8(tmp_path, capfd):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    shutil.copytree(BUNDLE, folder)
    np.save(folder / "x.npy", np.zeros((1, 8, 8, 3), "float32"))
    for words in (
        ("info", folder),
        ("info", folder / "model.onnx"),
        ("verify", folder),
        ("diagnose", folder),
        ("predict", folder / "model.onnx", folder / "x.npy"),
        ("predict", folder / "model.onnx", folder / "none"),
        ("predict", folder / "model.tflite", folder / "x.npy"),
    ):
        code, _ = run(capfd, *words)
        assert code in (0, 1, 2)


def test_a_pipe_in_a_bundle_is_not_read(bundle, capfd):
    (bundle / "model.onnx").unlink()
    os.mkfifo(bundle / "model.onnx")
    for command, expected in (("verify", 2), ("diagnose", 1)):
        code, line = run(capfd, command, bundle)
        assert code == expected and "is a pipe" in line
    assert sha256_of(bundle / "probes.npz")


def test_a_benchmark_reads_only_the_published_probes(bundle, capfd):
    (bundle / "probes.npz").unlink()
    os.mkfifo(bundle / "probes.npz")
    code, line = run(capfd, "benchmark", bundle)
    assert code == 1 and "probes.npz is not the file that was publ" in line
