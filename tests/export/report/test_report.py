"""The HTML report, read again by the parser of the standard library."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_inception_export import ArtifactError, RequestError, write_report
from keras_inception_export.bundle.bundle import REPORT, sha256_of
from keras_inception_export.bundle.publication import PREFIX
from keras_inception_export.data.samples import Samples
from keras_inception_export.diagnosis.layer_reference import LayerReferences
from keras_inception_export.report import figures, network, numbers
from keras_inception_export.report.page import SECTIONS
from keras_inception_export.report.samples import SampleResults
from tests.export.report.reading import Page
from tests.helpers.reports import change_report, keep_artifacts

BUNDLE = Path(__file__).parents[2] / "data/0.1.0/bundle"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'</style></svg>",
    "{{ 7 * 7 }}{% raw %}$x^2$ &amp; \u4e2d",
)
CONTROL = "a\x1b[31m\u202e\x00b"
SHOWN = "a\\x1b[31m\\u202e\\x00b"
BENCHMARK = {
    "model": {"name": "functional", "parameters": 1070},
    "machine": {"processor": "a processor", "cores": 2},
    "batch_size": 1,
    "threads": 2,
    "rounds": 6,
    "baseline": "Keras",
    "doubts": [],
    "rows": [
        {
            "name": name,
            "p50_ms": 7.5 / speed,
            "p90_ms": 9.0 / speed,
            "speed": speed,
            "speed_low": speed - 0.5,
            "speed_high": speed + 0.5,
        }
        for name, speed in (("Keras", 1.0), ("onnx", 5.0))
    ],
}
LACKING = {"network", "classes", "gallery"}  # of the bundle of 0.1.0


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(BUNDLE, tmp_path / "small")


def page(path):
    return Page(path.read_text(encoding="utf-8"))


def enriched(text):
    """Return a function that puts a text wherever a report has one."""

    def changed(facts):
        facts["model"] |= {"name": text, "keras_path": text}
        facts["versions"][text] = text
        facts["probes"] |= {"regimes": {text: 3}, "unused": {text: text}}
        for layer in facts["coverage"]["layers"]:
            layer["layer"] = text
        box = {"name": text, "type": text, "detail": text, "shape": [None, 2]}
        block = {**box, "branches": [[box, box], []]}
        facts["structure"] = [box, block, block]
        facts["evaluation"] = {
            **{"seed": 0, "calibration": 9, "evaluation": 5, "labelled": True},
            "keras_accuracy": {text: 0.8},
            "keras_confusion": {text: [[3, 1], [0, 1]]},
            **{"min_agreement": 0.9, "max_accuracy_drop": 0.1},
            "warnings": [text],
        }
        for entry in facts["artifacts"]:
            entry["outputs"][0]["name"] = entry["parity"][0]["output"] = text
            entry["inputs"][0]["name"] = entry["parity"][0]["regime"] = text
        entry["quantization"] = "int8"
        measured = {"output": text, "snr_db": 30.0, "max_error": 0.1}
        measured |= {"agreement": 0.8, "accuracy": 0.6}
        entry["measured"] = [measured | {"confusion": [[2, 2], [0, 1]]}]
        tensor = {"shape": [None, 2], "dtype": "float32"}
        facts["metadata"] = {
            **{"schema": 1, "model": text, "inputs": [{"name": text} | tensor]},
            "outputs": [{"name": text, **tensor, "labels": [text, "cat"]}],
        }

    return changed


@pytest.mark.parametrize("text", [*HOSTILE, CONTROL])
def test_hostile_names(text, folder):
    path = folder / "layer_references.npz"
    references = LayerReferences.load(path)
    layers = [replace(layer, layer=text) for layer in references.layers]
    replace(references, layers=layers).save(path)
    change_report(folder, enriched(text))
    hashes = {"sha256": sha256_of(path)}
    change_report(folder, lambda x: x["layer_references"].update(hashes))
    model = {"name": text, "parameters": 1070}
    row = BENCHMARK["rows"][0] | {"name": text}
    machine = {"processor": text}
    benchmark = BENCHMARK | {"model": model, "machine": machine}
    benchmark |= {"rows": [row], "doubts": [text], "baseline": text}
    found = page(write_report(folder, benchmark=benchmark))
    assert_self_contained(found)
    shown = SHOWN if text == CONTROL else text
    for section in SECTIONS:
        if section.name not in ("verdict", "classes", "gallery"):
            in_code = text == CONTROL and section.name == "use"
            wanted = "a\\u001b[31m" if in_code else shown
            assert wanted in found.texts[section.name], section
    assert shown in found.texts[""]  # the heading and the title


def assert_self_contained(found):
    tags = {tag for tag, _ in found.tags}
    assert not tags & {"script", "link", "iframe", "object", "form", "base"}
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(set(ids)) == len(ids)
    for tag, attrs in found.tags:
        for name, value in attrs.items():
            assert not name.startswith("on"), (tag, name)
            assert "url(" not in value.replace("url(#", ""), (tag, value)
            if name == "src":
                assert tag == "img" and value.startswith("data:image/png;")
            if name in ("href", "xlink:href"):
                assert value.startswith("#") and value[1:] in ids
            if name == "style" or tag in ("svg", "text"):
                assert "alert" not in value


def test_outside_of_the_page_nothing_is_used(folder):
    text = write_report(folder).read_text(encoding="utf-8")
    expected = ('xmlns="http://www.w3.org/2000/svg"', "http-equiv")
    assert text.count("http") == sum(map(text.count, expected))
    assert "@import" not in text


def test_sections_and_structure_of_the_page(folder):
    found = page(write_report(folder, benchmark=BENCHMARK))
    assert_self_contained(found)
    sections = [a["id"] for tag, a in found.tags if tag == "section"]
    assert sections == [section.name for section in SECTIONS]
    linked = [a["href"][1:] for tag, a in found.tags if tag == "a"]
    assert linked == [name for name in sections if name not in LACKING]
    levels = [int(t[1]) for t, _ in found.tags if t in ("h1", "h2", "h3")]
    assert levels[0] == 1 and levels.count(1) == 1
    steps = np.diff(levels)
    assert steps.max() == 1
    heads = [a for tag, a in found.tags if tag == "th"]
    assert heads and all(a.get("scope") in ("row", "col") for a in heads)
    pictures = [a for _, a in found.tags if a.get("role") == "img"]
    assert len(pictures) == 5 and all(a["aria-label"] for a in pictures)


def test_numbers_are_those_of_the_bundle(folder):
    facts = json.loads((folder / REPORT).read_text())
    found = page(write_report(folder, benchmark=BENCHMARK))
    head, *rows = found.tables["Largest error per artifact and output"]
    wanted = [(x["format"], x["parity"][0]) for x in facts["artifacts"]]
    assert len(rows) == len(wanted) == 3
    for row, (name, record) in zip(rows, wanted, strict=True):
        cells = dict(zip(head, row, strict=True))
        assert (cells["artifact"], cells["output"]) == (name, "scores")
        for title, key in (("error", "max_error"), ("tolerance",) * 2):
            assert float(cells[title]) == pytest.approx(record[key], rel=0.05)
        assert cells["result"] == "passes"
    hashes = [row[-1] for row in found.tables["Artifacts and their hashes"][1:]]
    assert hashes == [x["sha256"] for x in facts["artifacts"]]
    table = found.tables["Channels that a probe moves, per layer"][1:]
    assert [
        (name, int(moved), int(all_)) for name, moved, all_, _ in table
    ] == [
        (x["layer"], x["moved"], x["channels"])
        for x in facts["coverage"]["layers"]
    ]
    speeds = found.tables["Latency, and speed as a multiple of Keras"][1:]
    assert [(row[0], float(row[3])) for row in speeds] == [
        ("Keras", 1.0),
        ("onnx", 5.0),
    ]
    errors = found.tables["Error per layer"]
    assert errors[0][1:] == ["tflite", "onnx", "Keras in float32"]
    assert f"{facts['coverage']['moved']} of" in found.texts["verdict"]


def test_a_failure_is_not_called_verified(folder):
    failed = {"passed": False}
    change_report(
        folder, lambda x: x["artifacts"][1]["parity"][0].update(failed)
    )
    found = page(write_report(folder))
    assert "Not every artifact" in found.texts["verdict"]
    rows = found.tables["Largest error per artifact and output"][1:]
    assert [row[-1] for row in rows] == ["passes", "fails", "passes"]


def test_samples(folder, tmp_path):
    """The matrix of random images, beside one computed with ONNX Runtime."""
    import onnxruntime

    images = np.random.default_rng(0).random((40, 8, 8, 3), "float32")
    labels = np.arange(40) % 3
    keep_artifacts(folder, "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    classes = session.run(None, {"image": images})[0].argmax(axis=1)
    found = page(write_report(folder, samples=(images, labels)))
    right = int((classes == labels).sum())
    assert f"onnx: {right} of 40 right" in found.texts["classes"]
    for i in range(3):
        for j in range(3):
            number = int(((labels == i) & (classes == j)).sum())
            assert not number or str(number) in found.texts["classes"]
    assert "each of the 40 samples the same class" in found.texts["gallery"]


@pytest.mark.parametrize("labelled", [True, False])
def test_gallery(labelled):
    images = np.zeros((3, 4, 4, 1), "float32")
    scores = np.eye(3, dtype="float32")
    other = scores[[0, 2, 2]]
    labels = np.arange(3) if labelled else None
    results = SampleResults(
        Samples({"image": images}, labels),
        {"digit": {"onnx": scores, "onnx int8": other}},
        {},
        None,
    )

    class Facts:
        samples = results

        def class_name(self, output, index):
            return ("zero", "one", "two")[index]

    (output,) = numbers.gallery(Facts())["outputs"]
    (sample,) = output["samples"]
    assert sample["row"] == 1
    assert sample["label"] == ("one" if labelled else None)
    assert sample["picture"].startswith("data:image/png;base64,")
    assert sample["classes"] == [
        ("onnx", "one", True),
        ("onnx int8", "two", not labelled),
    ]


def test_equal_steps_are_drawn_once():
    def conv(name, filters):
        detail = f"{filters} filters"
        return {"name": name, "type": "Conv2D", "detail": detail}

    relu = {"name": "r", "type": "Activation", "detail": "relu"}
    steps = [conv("a", 1), relu]
    for i in range(3):
        steps += [conv(f"b{i}", 2), conv(f"c{i}", 3)]
    steps += [{"branches": [[conv("d", 4), conv("e", 4)], []]}]
    first, repeat, fork = network.layout(steps)
    assert first["detail"] == "1 filters, relu"
    assert repeat["times"] == 3
    assert [x["name"] for x in repeat["items"]] == ["b0", "c0"]
    assert fork["branches"][0][0]["times"] == 2 and fork["branches"][1] == []


def test_plots_follow_the_page():
    plots = [
        figures.dots([("a", 1e-7, 1e-6, True), ("b", np.inf, 1e-6, False)]),
        figures.bars([("a", 1.0), ("b", 0.0)], "size", ["1", "0"]),
        figures.lines([("a", [1e-7, np.nan, 0.0]), ("b", [])], "error"),
        figures.matrix([[0, 0], [0, 0]], ["x", "y"]),
    ]
    for svg in plots:
        assert "var(--text)" in svg or "var(--muted)" in svg
        assert "#0" not in svg.replace("&#0", "")  # no placeholder is left
        assert "<text" in svg and "width=" not in svg.split(">")[0]


def benchmark_file(path, content):
    path.write_text(content)
    return {"benchmark": path}


def at(path, make):
    make(path)
    return {"output": path}


WRONG = {
    "output is a pipe": lambda x: at(x.parent / "a.html", os.mkfifo),
    "output is a loop": lambda x: at(
        x.parent / "a.html", lambda path: path.symlink_to("a.html")
    ),
    "output in the bundle": lambda x: {"output": x / "report.html"},
    "output is a folder": lambda x: {"output": x.parent},
    "output is something else": lambda x: {
        "output": shutil.copy(x / REPORT, x.parent / "notes.html")
    },
    "output in no folder": lambda x: {"output": x.parent / "no/report.html"},
    "benchmark of another model": lambda x: {
        "benchmark": BENCHMARK | {"model": {"name": "b", "parameters": 1}}
    },
    "benchmark without rows": lambda x: {"benchmark": BENCHMARK | {"rows": []}},
    "benchmark of no numbers": lambda x: benchmark_file(x / "../b.json", "[1"),
    "no benchmark": lambda x: {"benchmark": x / "../none.json"},
    "samples of another shape": lambda x: {"samples": np.zeros((2, 4))},
    "no samples": lambda x: {"samples": x / "none"},
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(case, folder):
    arguments = WRONG[case](folder)
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(RequestError) as caught:
        write_report(folder, **arguments)
    assert "\n" not in str(caught.value)
    assert sorted(folder.parent.rglob("*")) == before


def test_damage_and_no_bundle(folder, tmp_path):
    with pytest.raises(RequestError, match="is not a bundle"):
        write_report(tmp_path)
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(ArtifactError, match="model.onnx is not the file"):
        write_report(folder)


def test_a_report_is_replaced(folder):
    killed = folder.parent / f"{PREFIX}killed"
    killed.mkdir()
    (killed / "lock").write_text("small.html")
    first = write_report(folder)
    assert first == folder.with_name("small.html")
    assert not killed.exists()
    link = folder.with_name("link.html")
    link.symlink_to(first.name)
    assert write_report(folder, link) == link
    assert link.is_symlink()
