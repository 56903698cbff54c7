"""Bundles made of plain files: hashes, atomic publication, reports."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_inception_export.bundle import bundle, schema
from keras_inception_export.bundle.artifact import _from_bundle
from keras_inception_export.diagnosis.diagnose import diagnose
from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.formats.registry import format_of
from keras_inception_export.report.facts import gather
from keras_inception_export.verification.verify import verify
from tests.helpers.bundle_files import write
from tests.helpers.reports import make_artifact, make_report

FILES = {
    "model.tflite": {"model.tflite": "a"},
    "model.onnx": {"model.onnx": "a", "model.onnx.data": "weights"},
    "saved_model": {
        "saved_model/saved_model.pb": "a",
        "saved_model/variables/variables.index": "b",
    },
}
"""Artifacts, each with the names and contents of its files."""

CHANGES = {
    "content": lambda path: path.write_text("other"),
    "size": lambda path: path.write_text(path.read_text() + "!"),
    "name": lambda path: path.rename(path.with_name("other")),
    "loss": lambda path: path.unlink(),
}


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def publish_probes(folder):
    entry = bundle.entry(folder, "probes.npz")
    facts = {**entry, "regimes": {}, "unused": {}}
    bundle.write_report(folder, make_report(probes=facts))


@pytest.mark.parametrize(
    ("folder", "changed"),
    [("more", True), ("variables/more", True), ("assets", False)],
)
def test_empty_folders_are_in_the_hash(folder, changed, tmp_path):
    """But for the one that version 0.1.0 did not hash."""
    files = FILES["saved_model"]
    path = write(tmp_path, files) / "saved_model"
    (path / folder).mkdir()
    listing = "".join(f"{sha256(text)}  {f}\n" for f, text in files.items())
    expected = listing + f"saved_model/{folder}/\n" * changed
    assert bundle.sha256_of(path) == sha256(expected)


ADDED = {
    "link": lambda path: path.symlink_to(".."),
    "broken link": lambda path: path.symlink_to("none"),
    "pipe": os.mkfifo,
    "not UTF-8": lambda path: Path(f"{path}\udcff").write_text(""),
}


@pytest.mark.parametrize("add", ADDED.values(), ids=ADDED)
def test_what_is_added_changes_the_hash(add, tmp_path):
    path = write(tmp_path, FILES["saved_model"]) / "saved_model"
    published = bundle.sha256_of(path)
    for folder in (path, path / "variables"):
        add(folder / "added")
        added = bundle.sha256_of(path)
        assert added != published
        published = added


@pytest.mark.parametrize("name", FILES)
def test_hash_and_size(name, tmp_path):
    """The hash of several files is that of what `sha256sum` prints."""
    files = FILES[name]
    write(tmp_path, files)
    listing = "".join(f"{sha256(text)}  {f}\n" for f, text in files.items())
    expected = sha256("a") if len(files) == 1 else sha256(listing)
    assert bundle.sha256_of(tmp_path / name) == expected
    nbytes = format_of(tmp_path / name).nbytes(tmp_path / name)
    assert nbytes == len("".join(files.values()))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["model.onnx", "saved_model"])
def test_every_file_is_hashed(name, change, tmp_path):
    write(tmp_path, FILES[name])
    published = bundle.sha256_of(tmp_path / name)
    for file in FILES[name]:
        if file == name and change in ("name", "loss"):
            continue  # nothing is left to be hashed
        copy = write(tmp_path / "copy", FILES[name])
        assert bundle.sha256_of(copy / name) == published
        CHANGES[change](copy / file)
        assert bundle.sha256_of(copy / name) != published
        shutil.rmtree(copy)


def test_neighbours_are_not_hashed(tmp_path):
    write(tmp_path, FILES["model.onnx"])
    published = bundle.sha256_of(tmp_path / "model.onnx")
    write(tmp_path, {"model.int8.onnx": "b", "model.int8.onnx.data": "c"})
    assert bundle.sha256_of(tmp_path / "model.onnx") == published


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            None,
            RequestError,
            "is not a bundle: expected a folder with a report.json, as "
            "`keras-inception export` writes it$",
        ),
        ("{", ArtifactError, "report.json is damaged"),
        ("[]", ArtifactError, "report.json is damaged"),
        (
            json.dumps(make_report(probes={"path": "../probes.npz"})),
            ArtifactError,
            "'../probes.npz' leaves the folder",
        ),
    ],
)
def test_a_damaged_report_is_refused(text, error, message, tmp_path):
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    with pytest.raises(error, match=message) as caught:
        bundle.read_report(tmp_path)
    if error is ArtifactError:
        assert str(caught.value).endswith("; export the model again")


def test_a_report_may_be_held_against_a_hash(tmp_path):
    bundle.write_report(tmp_path, make_report())
    path = tmp_path / "report.json"
    found = sha256(path.read_text())
    for expected in (found, found.upper()):
        assert bundle.read_report(tmp_path, expected) == make_report()
    with pytest.raises(ArtifactError) as caught:
        bundle.read_report(tmp_path, "abc")
    assert str(caught.value) == (
        f"{path} has the SHA-256 {found}, expected abc; nothing was opened"
    )


def test_a_report_is_not_read_whatever_its_size(tmp_path, monkeypatch):
    bundle.write_report(tmp_path, make_report())
    size = (tmp_path / "report.json").stat().st_size
    monkeypatch.setattr(bundle, "MAX_REPORT", size)
    assert bundle.read_report(tmp_path) == make_report()
    monkeypatch.setattr(bundle, "MAX_REPORT", size - 1)
    with pytest.raises(ArtifactError, match="times as much; expected less; "):
        bundle.read_report(tmp_path)


def test_a_key_of_a_report_is_there_once(tmp_path):
    bundle.write_report(tmp_path, make_report())
    path = tmp_path / "report.json"
    text = path.read_text().replace('"versions"', '"versions": {}, "versions"')
    path.write_text(text)
    with pytest.raises(ArtifactError, match="an object has a key twice"):
        bundle.read_report(tmp_path)


def test_a_report_is_written_and_read(tmp_path):
    bundle.write_report(tmp_path, make_report(versions={"of": "Zürich"}))
    assert (tmp_path / "report.json").read_bytes().startswith(b'{\n  "')
    assert bundle.read_report(tmp_path) == make_report(
        versions={"of": "Zürich"}
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        bundle.write_report(tmp_path, make_report(error=float("nan")))
    path = tmp_path / "none" / "report.json"
    with pytest.raises(RequestError, match=f"^{path} cannot be written: No"):
        bundle.write_report(path.parent, make_report())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            "content",
            "is not the file that was published (its hash differs), so nothing "
            "can be verified with it",
        ),
        ("loss", "is missing"),
    ],
)
def test_probes_must_be_the_published_ones(change, text, tmp_path):
    path = tmp_path / "p.npz"
    path.write_text("probes")
    facts = make_report(probes=bundle.entry(tmp_path, "p.npz"))
    assert facts["probes"] == {"path": "p.npz", "sha256": sha256("probes")}
    assert bundle.published(tmp_path, facts, "probes") == path
    CHANGES[change](path)
    with pytest.raises(ArtifactError) as caught:
        bundle.published(tmp_path, facts, "probes")
    assert str(caught.value) == f"{path} {text}; export the model again"


def test_the_ranges_of_usual_probes(tmp_path):
    """Over all batches, by the name of the input, which may have a slash."""
    assert bundle.probe_ranges(tmp_path) == {}
    values = {"expected": [1, 3], "large": [-9, 99], "samples": [2, 5]}
    arrays = {"regimes": np.array([*values])}
    for index, (low, high) in enumerate(values.values()):
        arrays[f"feeds/{index}/x"] = np.array([[high, low]])
        arrays[f"feeds/{index}/a/b"] = np.array([low + 0.5])
        arrays[f"keras/{index}/x"] = np.array([1000.0])
    np.savez(tmp_path / "probes.npz", **arrays)
    publish_probes(tmp_path)
    expected = {"x": (1.0, 5.0), "a/b": (1.5, 2.5)}
    assert bundle.probe_ranges(tmp_path) == expected
    (tmp_path / "probes.npz").write_bytes(b"")
    assert bundle.probe_ranges(tmp_path) == {}
    publish_probes(tmp_path)
    assert bundle.probe_ranges(tmp_path) == {}


@pytest.mark.parametrize("name", FILES)
def test_an_artifact_is_opened_only_as_it_was_published(name, tmp_path):
    path = write(tmp_path, FILES[name]) / name
    assert bundle.check_published(path) is None
    artifact = make_artifact(path=name, sha256=bundle.sha256_of(path))
    others = make_artifact(path="other"), artifact
    (tmp_path / "report.json").write_text(json.dumps(make_report(*others)))
    assert bundle.check_published(path)["path"] == name
    assert bundle.check_published(tmp_path / "unknown") is None
    CHANGES["content"](next(iter(bundle.files_of(path))))
    with pytest.raises(ArtifactError, match="so it is not opened; export"):
        bundle.check_published(path)
    (tmp_path / "report.json").write_text("{")
    assert bundle.check_published(path) is None
    (tmp_path / "probes.npz").touch()
    with pytest.raises(ArtifactError, match="report.json is damaged"):
        bundle.check_published(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"artifacts": []},
            "report.json names no artifact, so there is nothing to open; "
            "export the model again",
        ),
        (
            {"schema_version": schema.VERSION + 1},
            "report.json has version 2 of its schema, expected at most 1; "
            "install a newer keras-inception-layers",
        ),
    ],
)
def test_what_is_no_damage_says_what_to_do(change, message):
    with pytest.raises(RequestError) as caught:
        schema.checked(make_report() | change)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["model.onnx", "X.npz", ".a", "x" * 255])
def test_names_of_files(name):
    assert schema._within_the_folder(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "a\0", "x" * 256, "\u00e4" * 128]
)
def test_names_that_leave_the_folder(name):
    with pytest.raises(ValueError) as caught:
        schema._within_the_folder(name)
    assert str(caught.value) == f"the path '{name[:40]}' leaves the folder"


@pytest.mark.parametrize("fails", [True, False])
def test_a_reader_starts_over_with_another_bundle(fails, tmp_path):
    write(tmp_path, {"out/x": "old", "other/x": "new"})

    @bundle.restarted_if_replaced
    def read(folder):
        text = (folder / "x").read_text()
        if text == "old":
            folder.rename(tmp_path / "old")
            (tmp_path / "other").rename(folder)
        if fails and (text == "old" or folder.name != "out"):
            raise ArtifactError(text)
        return text

    assert read(tmp_path / "out") == "new"
    if fails:
        (tmp_path / "out").rename(tmp_path / "last")
        with pytest.raises(ArtifactError, match="new"):
            read(folder=tmp_path / "last")


@pytest.mark.parametrize("read", [verify, diagnose, gather, _from_bundle])
def test_what_reads_several_files_of_a_bundle_starts_over(read):
    assert hasattr(read, "__wrapped__")


OWN = {
    "model.onnx": {"format": "onnx", "bytes": len("a" + "weights")},
    "saved_model": {"format": "saved_model"},
    "model.int8.tflite": {"format": "tflite", "quantization": "int8"},
}
"""What a report may say of an artifact that an export wrote."""

OTHERS = {
    "nothing": ({}, True),
    "probes": ({"probes.npz": ""}, True),
    "quantized": ({"model.int8.tflite": ""}, True),
    "other": ({"thesis.txt": ""}, False),
    "external weights": ({"model.onnx.data": "of another model"}, False),
    "folder": ({"photos/1.png": ""}, False),
    "in the probes": ({"probes.npz/1.png": ""}, False),
    "in the artifact": ({"saved_model/1.png": ""}, False),
    "weights": ({"saved_model/variables/variables.data-0": ""}, True),
    "vocabulary": ({"saved_model/assets/words.txt": ""}, False),
    "in the assets": ({"saved_model/assets/mine/words.txt": ""}, False),
    "further down": ({"saved_model/mine/saved_model.pb": ""}, False),
    "more metadata": ({"saved_model/assets.extra/mine.json": ""}, False),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_bundle_has_nothing_but_what_an_export_writes(case, tmp_path):
    files, only = OTHERS[case]
    artifacts = [make_artifact(path=path, **OWN[path]) for path in OWN]
    write(tmp_path, FILES["saved_model"] | FILES["model.onnx"] | files)
    bundle.write_report(tmp_path, make_report(*artifacts))
    assert bundle.is_only_a_bundle(tmp_path) is only


def test_assets_that_were_published_are_part_of_a_bundle(tmp_path):
    files = {"saved_model/assets/words.txt": "published"}
    path = write(tmp_path, FILES["saved_model"] | files) / "saved_model"
    facts = {**OWN["saved_model"], "sha256": bundle.sha256_of(path)}
    artifact = make_artifact(path="saved_model", **facts)
    bundle.write_report(tmp_path, make_report(artifact))
    assert bundle.is_only_a_bundle(tmp_path)
    write(tmp_path, {"saved_model/assets/other.txt": ""})
    assert not bundle.is_only_a_bundle(tmp_path)


@pytest.mark.parametrize("path", ["photos", "saved_model", "thesis.onnx"])
def test_a_report_makes_no_file_part_of_a_bundle(path, tmp_path):
    """A folder could be replaced because its report names what is in it."""
    write(tmp_path, {path if "." in path else f"{path}/1.png": ""})
    facts = {"format": "onnx" if "." in path else "saved_model"}
    artifact = make_artifact(path=path, **facts)
    bundle.write_report(tmp_path, make_report(artifact))
    assert not bundle.is_only_a_bundle(tmp_path)
