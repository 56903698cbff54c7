"""Files of results: whole rows, which are continued after an interruption."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from keras_inception_export.data.items import Item
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError
from keras_inception_export.prediction.lines import resume
from keras_inception_export.prediction.pipeline import Prediction
from keras_inception_export.prediction.writers import check_output, open_writer

OUTPUTS = (
    TensorSpec("kind", (None, 3), "float32"),
    TensorSpec("area", (None, 1), "float32"),
    TensorSpec("map", (None, 2, 2), "int64"),
)
ROWS = np.array([[0.1, 0.7, 0.2], [0.5, np.nan, 0.5]], "float32")
AREAS = np.array([[1.5], [-np.inf]], "float32")
MAPS = np.arange(8).reshape(2, 2, 2)
PREDICTIONS = [
    Prediction(
        f"{i}, .png",
        {"kind": ROWS[i], "area": AREAS[i], "map": MAPS[i]},
        labels={"kind": ("a", 'b"', "c")},
    )
    for i in (0, 1)
]
PREDICTIONS.append(Prediction("bad.png", {}, 'it is "bad"'))


def write(path, predictions=PREDICTIONS, top=2, **options):
    with open_writer(path, OUTPUTS, top, **options) as write:
        write(predictions[:2])
        write(predictions[2:])
    return path


RECORDS = [
    {
        "name": "0, .png",
        "error": None,
        "outputs": {
            "kind": [
                {"class": 1, "label": 'b"', "score": 0.7},
                {"class": 2, "label": "c", "score": 0.2},
            ],
            "area": [1.5],
            "map": [[0, 1], [2, 3]],
        },
    },
    {
        "name": "1, .png",
        "error": None,
        "outputs": {
            "kind": [
                {"class": 0, "label": "a", "score": 0.5},
                {"class": 2, "label": "c", "score": 0.5},
            ],
            "area": [None],
            "map": [[4, 5], [6, 7]],
        },
    },
    {"name": "bad.png", "error": 'it is "bad"', "outputs": None},
]


def test_json_lines(tmp_path):
    lines = write(tmp_path / "x.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == RECORDS


def test_parquet(tmp_path):
    rows = pq.read_table(write(tmp_path / "x.parquet")).to_pylist()
    for row in rows[:2]:
        for best in row["outputs"]["kind"]:
            best["score"] = round(best["score"], 6)
    assert rows == RECORDS


def test_csv(tmp_path):
    with open(write(tmp_path / "x.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {
        "name": "0, .png",
        "error": "",
        "kind_class_1": "1",
        "kind_label_1": 'b"',
        "kind_score_1": "0.7",
        "kind_class_2": "2",
        "kind_label_2": "c",
        "kind_score_2": "0.2",
        "area_value": "[1.5]",
        "map_value": "[[0, 1], [2, 3]]",
    }
    assert list(rows[2].values()) == ["bad.png", 'it is "bad"'] + 8 * [""]


def test_npz_has_the_whole_outputs_of_what_did_not_fail(tmp_path):
    with np.load(write(tmp_path / "x.npz")) as saved:
        np.testing.assert_array_equal(saved["kind"], ROWS)
        np.testing.assert_array_equal(saved["area"], AREAS)
        np.testing.assert_array_equal(saved["map"], MAPS)
        assert {x.dtype.name for x in saved.values()} == {"float32", "int64"}


def test_npz_refuses_outputs_of_different_shapes(tmp_path):
    spec = (TensorSpec("x", (None, None), "float32"),)
    rows = [Prediction("a", {"x": np.ones(n)}) for n in (2, 3)]
    with (
        pytest.raises(RequestError, match=r"\(2,\) and \(3,\); write a"),
        open_writer(tmp_path / "x.npz", spec, 1) as write,
    ):
        write(rows)


MANY = [
    Prediction(f"{i}.png", dict(kind=ROWS[0], area=AREAS[0], map=MAPS[0]))
    for i in range(10)
]
ITEMS = [Item(x.name, b"") for x in MANY]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("part", [0, 0.01, 0.3, 0.72, 1])
def test_a_part_of_a_file_is_continued(suffix, part, tmp_path):
    path = write(tmp_path / f"x{suffix}", MANY)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    items = iter(ITEMS)
    done = resume(path, items, OUTPUTS, 2, 4)
    lines = path.read_bytes().count(b"\n") - (suffix == ".csv")
    assert done.items == max(0, lines) // 4 * 4
    rest = list(items)
    assert rest == ITEMS[done.items :]
    write(path, MANY[done.items :], resumed=done.length)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_errors_of_the_first_part_are_counted(suffix, tmp_path):
    path = write(tmp_path / f"x{suffix}", PREDICTIONS)
    items = iter([Item(x.name, b"") for x in PREDICTIONS])
    done = resume(path, items, OUTPUTS, 2, 1)
    assert (done.items, done.failed, done.error) == (3, 1, 'it is "bad"')
    assert not resume(tmp_path / f"new{suffix}", items, OUTPUTS, 2, 1).items


OTHER = ("[1]\n" * 9, "\n", "[" * 10**5 + "\n", '{"mine": 3}\n')
"""Files of lines that are no results."""


@pytest.mark.parametrize(
    ("name", "items", "top", "message"),
    [
        ("x.csv", ITEMS[1:], 2, "its row 1 is not that of 1.png"),
        ("x.jsonl", ITEMS[:3], 2, "row 4 is not that of no more inputs"),
        ("x.csv", ITEMS, 3, "has other columns"),
        *(("x.jsonl", text, 2, "row 1 is not that of a res") for text in OTHER),
    ],
)
def test_another_file_is_not_continued(name, items, top, message, tmp_path):
    path = write(tmp_path / name, MANY)
    if isinstance(items, str):
        path.write_text(items)
    before = path.read_bytes()
    with pytest.raises(RequestError, match=message):
        resume(path, iter(items), OUTPUTS, top, 1)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x.txt", "expected a name that ends in .csv, .jsonl, .parquet, .npz"),
        ("x.npz", "ends in .csv or .jsonl"),
        ("x.parquet", "ends in .csv or .jsonl"),
    ],
)
def test_names_that_cannot_be_written_or_continued(name, message):
    with pytest.raises(RequestError, match=message):
        check_output(Path(name), resume=True)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".npz"])
def test_files_that_cannot_be_written(suffix, tmp_path):
    path = tmp_path / "none" / f"x{suffix}"
    with pytest.raises(RequestError, match="none/x.* cannot be written"):
        write(path)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.csv")
    with pytest.raises(RequestError, match="x.csv is a pipe"):
        check_output(tmp_path / "x.csv")
