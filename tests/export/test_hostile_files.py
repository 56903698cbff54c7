"""No file from outside crashes, floods or fools a command.

Each case is a file made wrong on purpose, beside the right one; those that
`benchmarks/fuzz_readers.py` found are here.
"""

import io
import json
import os
import shutil
import zipfile
import zlib
from pathlib import Path

import h5py
import keras
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from keras_inception_export.bundle import schema
from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.bundle.bundle import entry, sha256_of
from keras_inception_export.cli import main
from keras_inception_export.data import npz, reading
from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.model import stored_weights
from keras_inception_export.model.loading import load_model

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "tests/data/0.1.0/bundle"
SPECS = (TensorSpec("x", (None, 2), "float32"),)


@pytest.fixture
def bundle(tmp_path):
    """A bundle with an ONNX artifact alone."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    report = json.loads((BUNDLE / "report.json").read_text())
    report["artifacts"] = [
        x for x in report["artifacts"] if x["path"] == "model.onnx"
    ]
    for name in ("model.onnx", "probes.npz", "layer_references.npz"):
        shutil.copy(BUNDLE / name, folder)
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def run(capfd, *words):
    """Return the exit code of a command and the line that it ends with."""
    code = main([str(word) for word in words])
    shown = capfd.readouterr()
    assert shown.err.count("\n") <= 1
    return code, shown.err or shown.out


def change_report(folder, change):
    path = folder / "report.json"
    report = json.loads(path.read_text())
    change(report)
    path.write_text(json.dumps(report))


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
    "deep": (setting("later", to=DEEP), "more than 50 levels deep"),
    "regimes": (setting("probes", "regimes", "large", to=9), "other numbers"),
    "later version": (setting("schema_version", to=2), "install a newer"),
}


@pytest.mark.parametrize("case", REPORTS)
def test_a_wrong_report_is_one_line(case, bundle, capfd):
    change, message = REPORTS[case]
    change_report(bundle, change)
    code, line = run(capfd, "verify", bundle)
    assert message in line
    assert code == (2 if case == "later version" else 1)


@pytest.mark.parametrize(
    "text",
    ["[" * 10**5, '{"artifacts": ' + "9" * 5000 + "}", "NaN", "\xff", ""],
    ids=["deep", "number", "constant", "not UTF-8", "empty"],
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
    assert page == schema.document()
    found = dict(schema.fields())
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


def scaled(part, factor):
    def change(arrays):
        for key in arrays:
            if key.startswith(f"{part}/"):
                arrays[key] = arrays[key] * factor

    return change


def of_each(part, function):
    def change(arrays):
        for key in arrays:
            if key.startswith(f"{part}/"):
                arrays[key] = function(arrays[key])

    return change


def without_samples(arrays):
    for key in arrays:
        if key not in ("regimes", "unused"):
            arrays[key] = arrays[key][:0]


def without_batches(arrays):
    for key in list(arrays):
        if key != "unused":
            del arrays[key]
    arrays["regimes"] = np.empty(0, "U1")


def constant(arrays):
    for key in arrays:
        if key.startswith(("reference/", "keras/")):
            arrays[key] = np.ones_like(arrays[key])


PROBES = {
    "error of Keras": (scaled("keras", 1e9), "Keras itself is inexact"),
    "infinite error": (scaled("keras", np.inf), "not finite"),
    "NaN": (scaled("reference", np.nan), "not finite"),
    "no samples": (without_samples, "is empty"),
    "no batches": (without_batches, "no usual inputs"),
    "constant": (constant, "hardly depends on the input"),
    "strings": (of_each("keras", lambda x: x.astype("U9")), "no batch of"),
    "scalars": (of_each("keras", lambda x: x.ravel()[0]), "no batch of"),
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


def header(shape, descr="<f4", data=b""):
    content = io.BytesIO()
    facts = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, facts)
    return content.getvalue() + data


def archive(**members):
    content = io.BytesIO()
    method = members.pop("method", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(content, "w", method) as file:
        for name, member in members.items():
            file.writestr(f"{name}.npy", member)
    return content.getvalue()


ARRAYS = {
    "huge.npy": (header((2**40, 2)), "is declared in 0 bytes"),
    "negative.npy": (header((-1, 2), data=b"1234"), "is declared in 4 bytes"),
    "empty type.npy": (header((2**40,), "<U0"), "is declared in 0 bytes"),
    "objects.npy": (header((1,), "|O", b"12345678"), "allow_pickle=False"),
    "fields.npy": (header((2,), [("a", "<f4")], b"12345678"), "expected"),
    "nested.npy": (b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535, "cannot be read"),
    "half.npy": (header((1, 2), data=b"1234567"), "in 7 bytes"),
    "labels.npz": (
        archive(x=header((1, 2), data=b"12345678"), y=b"1"),
        "magic",
    ),
    "huge.npz": (archive(x=header((2**40, 2))), "is declared in 0 bytes"),
    "bomb.npz": (archive(x=bytes(2**20)), "more than 100 times as much"),
    "bzip2.npz": (archive(x=b"1", method=zipfile.ZIP_BZIP2), "neither stored"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_hostile_arrays_are_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setattr(reading.check_expansion, "__defaults__", (2**16, ""))
    content, message = ARRAYS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=message) as caught:
        load_samples(tmp_path / name, SPECS)
    assert "\n" not in str(caught.value)


def test_arrays_that_are_right(tmp_path, monkeypatch):
    """Such as zeros without compression, or an empty array."""
    monkeypatch.setattr(reading.check_expansion, "__defaults__", (2**16, ""))
    zeros = np.zeros((2**14, 2), "float32", order="F")
    np.savez(tmp_path / "x.npz", x=zeros, empty=np.empty((0, 9)), name="a")
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as file:
        file.writestr("notes.txt", "of the user")
    assert set(npz.read_arrays(tmp_path / "x.npz")) == {"x", "empty", "name"}
    np.save(tmp_path / "x.npy", zeros)
    for name in ("x.npz", "x.npy"):
        assert len(load_samples(tmp_path / name, SPECS)) == 2**14


def png(size):
    content = io.BytesIO()
    Image.new("L", (8, 8)).save(content, "png")
    content = bytearray(content.getvalue())
    content[16:24] = b"".join(n.to_bytes(4) for n in size)
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png((2**17, 2**17)), "exceeds limit"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot ident"),
        (png((8, 8))[:40], "cannot be read"),
    ],
    ids=["bomb", "a program", "half"],
)
def test_hostile_images_are_one_line(content, message, tmp_path):
    specs = (TensorSpec("x", (None, 8, 8, 1), "float32"),)
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(RequestError, match=message):
        load_samples(tmp_path / "a.png", specs)
    (tmp_path / "a.png").write_bytes(png((8, 8)))
    assert len(load_samples(tmp_path / "a.png", specs)) == 1


def dense(units=64):
    inputs = keras.Input((64,), name="x")
    outputs = keras.layers.Dense(units, "relu", name="d")(inputs)
    return keras.Model(inputs, outputs)


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def rewrite(path, method=zipfile.ZIP_STORED, **changes):
    files = members(path)
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in files.items():
            file.writestr(name, changes.get(name.split(".")[-2], content))


def with_kernel(path, make, shape=(64, 64), **options):
    """Replace the kernel in a file, as `make` writes it."""
    hdf5 = path.suffix == ".h5"
    content = io.BytesIO() if hdf5 else io.BytesIO(members(path)[KERAS_WEIGHTS])
    with h5py.File(path if hdf5 else content, "a") as file:
        names = []
        file.visititems(lambda n, x: names.append((getattr(x, "ndim", 0), n)))
        name = max(names)[1]
        old = file[name][...]
        del file[name]
        make(file, name, old, shape, options)
    if not hdf5:
        rewrite(path, weights=content.getvalue())


KERAS_WEIGHTS = "model.weights.h5"


def declared(file, name, old, shape, options):
    file.create_dataset(name, shape, "f4", **options)


def written(file, name, old, shape, options):
    file.create_dataset(name, data=old, **options)


def expanding(file, name, old, shape, options):
    data = file.create_dataset(name, (64, 64), "f4", chunks=(64, 64), **options)
    data.id.write_direct_chunk((0, 0), zlib.compress(bytes(2**20)))


def linked(file, name, old, shape, options):
    file[name] = h5py.ExternalLink("other.h5", "kernel")


def external(file, name, old, shape, options):
    options = {"external": [("other", 0, h5py.h5f.UNLIMITED)]}
    file.create_dataset(name, (64, 64), "f4", **options)


BIG = {"shape": (2**12, 2**12), "chunks": (64, 64), "compression": "gzip"}
GZIP = {"compression": "gzip", "shuffle": True, "fletcher32": True}
DECLARES = "of weights, more than the model"
MODELS = {
    "zip": (lambda x: rewrite(x, 8, weights=bytes(2**22)), DECLARES),
    "shape": (lambda x: with_kernel(x, declared, **BIG), DECLARES),
    "chunk": (lambda x: with_kernel(x, expanding, **GZIP), "expands to more"),
    "filter": (
        lambda x: with_kernel(x, written, compression="lzf"),
        "unknown filter",
    ),
    "link": (lambda x: with_kernel(x, linked), "a link to another place"),
    "external": (lambda x: with_kernel(x, external), "not stored as numbers"),
    "units": (
        lambda x: rewrite(
            x, config=members(x)["config.json"].replace(b": 64", b": 999999")
        ),
        "the config declares weights of",
    ),
    "config": (lambda x: rewrite(x, 8, config=bytes(2**25)), "100 times"),
    "deep": (lambda x: rewrite(x, config=b"[" * 10**5), "not a Keras model"),
    "list": (lambda x: rewrite(x, config=b"[1]"), "cannot be loaded"),
    "class": (
        lambda x: rewrite(x, config=b'{"class_name": [], "config": 3}'),
        "cannot be loaded",
    ),
}
RIGHT = {
    "as saved": lambda x: None,
    "deflated": lambda x: rewrite(x, 8),
    "gzip": lambda x: with_kernel(x, written, **GZIP),
}


@pytest.fixture
def small_limits(monkeypatch):
    """What a small file may expand to is small, so that test files are."""
    monkeypatch.setattr(stored_weights, "FREE", 2**12)


@pytest.mark.parametrize("case", MODELS)
def test_a_hostile_model_is_one_line(case, tmp_path, small_limits):
    dense().save(tmp_path / "a.keras")
    change, message = MODELS[case]
    change(tmp_path / "a.keras")
    with pytest.raises(RequestError, match=message) as caught:
        load_model(tmp_path / "a.keras")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:You are saving")
@pytest.mark.parametrize(
    ("make", "message"), [(declared, DECLARES), (linked, "a link to another")]
)
def test_a_hostile_hdf5_file_is_one_line(make, message, tmp_path, small_limits):
    dense().save(tmp_path / "a.h5")
    load_model(tmp_path / "a.h5")
    with_kernel(tmp_path / "a.h5", make, **BIG)
    with pytest.raises(RequestError, match=message):
        load_model(tmp_path / "a.h5")


@pytest.mark.parametrize("case", RIGHT)
def test_a_model_of_zeros_is_loaded(case, tmp_path, small_limits):
    """It is compressed to less than its model's size, but is as large."""
    model = dense()
    model.layers[1].kernel.assign(np.zeros((64, 64)))
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "a.keras")
    RIGHT[case](tmp_path / "a.keras")
    loaded = load_model(tmp_path / "a.keras")
    for left, right in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(np.array(left), np.array(right))


def graph(path, nodes, kind=TensorProto.FLOAT, shape=("n", 2), **metadata):
    value = helper.make_tensor_value_info
    outputs = [value("y", kind, None)]
    made = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, shape)], outputs
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(made, opset_imports=opset, ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)


IDENTITY = [helper.make_node("Identity", ["x"], ["y"])]
SUM = [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)]
STRING = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)]
RESHAPE = [
    helper.make_node("Constant", [], ["s"], value_ints=[7, 7]),
    helper.make_node("Reshape", ["x", "s"], ["y"]),
]
GRAPHS = {
    "metadata": ({"nodes": IDENTITY, "quantization": "[" * 9999}, "opened"),
    "list": ({"nodes": IDENTITY, "quantization": "[1]"}, "cannot be opened"),
    "scale": (
        {"nodes": IDENTITY, "quantization": '{"x": {"scale": "1"}}'},
        "cannot be opened",
    ),
    "string": ({"nodes": STRING, "kind": TensorProto.STRING}, "cannot be open"),
    "scalar": ({"nodes": IDENTITY, "shape": ()}, "without a batch axis"),
    "batch": ({"nodes": IDENTITY, "shape": (2**40, 2)}, "more than 4 GB"),
    "rows": ({"nodes": SUM}, r"the output y of 3 samples has the shape \(\)"),
    "failure": ({"nodes": RESHAPE}, "cannot be run: "),
}


@pytest.mark.parametrize("case", GRAPHS)
def test_a_hostile_onnx_file_is_one_line(case, tmp_path):
    options, message = GRAPHS[case]
    graph(tmp_path / "a.onnx", **options)
    with pytest.raises(ArtifactError, match=message) as caught:
        load_artifact(tmp_path / "a.onnx")(np.ones((3, 2), "float32"))
    assert "\n" not in str(caught.value)
    graph(tmp_path / "a.onnx", IDENTITY)
    run = load_artifact(tmp_path / "a.onnx")
    assert run(np.ones((3, 2), "float32"))["y"].shape == (3, 2)


def test_a_name_that_is_not_utf8(tmp_path, capfd):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    shutil.copytree(BUNDLE, folder)
    np.save(folder / "x.npy", np.zeros((1, 8, 8, 3), "float32"))
    for words in (
        ("info", folder),
        ("info", folder / "model.onnx"),
        ("verify", folder),
        ("predict", folder / "model.onnx", folder / "x.npy"),
        ("predict", folder / "model.onnx", folder / "none"),
        ("predict", folder / "model.tflite", folder / "x.npy"),
    ):
        code, _ = run(capfd, *words)
        assert code in (0, 1, 2)


def test_a_pipe_in_a_bundle_is_not_read(bundle, capfd):
    (bundle / "model.onnx").unlink()
    os.mkfifo(bundle / "model.onnx")
    code, line = run(capfd, "verify", bundle)
    assert code == 2 and "is a pipe" in line
    assert sha256_of(bundle / "probes.npz")
