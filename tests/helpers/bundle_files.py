"""Folders with the files of a bundle, which contain a word or nothing."""

import json

from tests.helpers.reports import make_artifact, make_report

REPORT = json.dumps(make_report())
FILES = ("model.onnx", "model.onnx.data", "probes.npz", "layer_references.npz")


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def make_bundle(folder, text="new", **others):
    artifact = make_artifact(bytes=2 * len(text))  # of the two ONNX files
    report = json.dumps(make_report(artifact))
    files = {"report.json": report, **dict.fromkeys(FILES, text), **others}
    return write(folder, files)


def names(folder):
    return sorted(path.name for path in folder.iterdir())
