"""Batches of a stream: their order, their sizes and what fails."""

import contextlib
import json
import logging
import math
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_inception_export import RequestError, load_artifact
from keras_inception_export.bundle.artifact import Artifact
from keras_inception_export.data.items import Item
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.prediction.pipeline import Pipeline, unlike
from tests.helpers.brightness import (
    png,
    scores,
    write_brightness,
    write_images,
)

ANY = (TensorSpec("x", (None, None), "float32"),)
SUMS = (TensorSpec("sum", (None,), "float32"),)


def sums(feeds):
    """Return the sum of each row; a row of three values is not computed."""
    if feeds["x"].shape[1] == 3:
        raise RuntimeError("three\nare too many")
    return {"sum": feeds["x"].sum(axis=1)}


def rows(*sizes):
    return [
        Item(f"{i}", {"x": np.full(size, i, "float32")})
        for i, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("fixed", [None, 5])
def test_rows_of_different_shapes_keep_their_order(fixed):
    calls = []

    def run(feeds):
        calls.append(feeds["x"].shape)
        return sums(feeds)

    specs = (TensorSpec("x", (fixed, None), "float32"),)
    sizes = [1, 2, 2, 3] * 10
    pipeline = Pipeline(run, specs, SUMS, decode=None)
    found = [x for batch in pipeline(rows(*sizes)) for x in batch]
    assert [x.name for x in found] == [str(i) for i in range(40)]
    for i, (size, prediction) in enumerate(zip(sizes, found, strict=True)):
        if size == 3:
            assert prediction.error == f"{i} cannot be computed: three"
            assert prediction.outputs == {}
        else:
            assert prediction.outputs["sum"] == i * size
    assert all(number <= 16 for number, _ in calls)
    assert fixed is None or {number for number, _ in calls} == {fixed}


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((None, 28, 28, 1), 64),
        ((None, 299, 299, 3), 16),
        ((None, 4), 64),
        ((None, None), 16),
        ((None, None, None, 3), 4),
        ((5, 28, 28, 1), 20),
    ],
)
def test_more_small_samples_are_computed_together(shape, size):
    inputs = (TensorSpec("x", shape, "float32"),)
    assert Pipeline(sums, inputs, SUMS, decode=None).batch_size == size


def test_unsuitable_rows_are_errors():
    items = rows(2, 2, 2)
    items[1].content["x"][0] = np.nan
    items.append(Item("4", RequestError("is missing")))
    pipeline = Pipeline(sums, ANY, SUMS, decode=None)
    (found,) = pipeline(items)
    errors = [x.error for x in found]
    assert errors[0] is errors[2] is None and errors[3] == "is missing"
    assert errors[1].startswith("1 has NaN")


def test_only_a_few_batches_are_read_ahead(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    read = []

    def items():
        for item in rows(*[1] * 1000):
            read.append(item)
            yield item

    pipeline = Pipeline(sums, ANY, SUMS, decode=None)
    before = threading.active_count()
    batches = pipeline(items())
    next(batches)
    assert len(read) <= 4 * pipeline.batch_size
    batches.close()
    assert threading.active_count() == before


def test_outputs_without_a_row_per_sample_are_errors():
    pipeline = Pipeline(lambda feeds: {"sum": np.ones(7)}, ANY, SUMS, None)
    ((found, _),) = pipeline(rows(1, 1))
    assert (
        'computed: the output "sum" of 1 samples has the shape (7,)'
        in found.error
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((0, 1), False),
        ((-0.5, 1.5), False),
        ((0, 0), False),
        ((0, 255), True),
        ((-2, 0), True),
        ((0, 1 / 255), True),
    ],
)
def test_values_unlike_those_of_the_verification(found, expected):
    assert unlike(found, (0, 1)) is expected


def test_predict_in_python(tmp_path, caplog):
    path = write_brightness(tmp_path / "model.onnx")
    values = write_images(tmp_path / "in", 40)
    artifact = load_artifact(path)
    (tmp_path / "in" / "c.png").write_bytes(b"no image")
    found = list(artifact.predict(tmp_path / "in"))
    assert [x.name for x in found[:-1]] == list(values)
    outputs = np.stack([x.outputs["scores"] for x in found[:-1]])
    expected = scores(np.array(list(values.values())) / 255)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    assert "c.png cannot be read: cannot identify" in found[-1].error
    image = Image.new("L", (9, 9), 204)
    (one,) = artifact.predict(image)
    assert one.top(2) == [
        (0, "bright", pytest.approx(0.8)),
        (2, r"grey, or\nso", pytest.approx(0.4)),
    ]
    (same,) = artifact.predict(np.full((4, 4, 1), 0.8, "float32"))
    np.testing.assert_allclose(same.outputs["scores"], one.outputs["scores"])
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        list(artifact.predict(np.full((40, 4, 4, 1), 204.0)))
        list(artifact.predict(image, preprocess="none"))
    assert [x.getMessage() for x in caplog.records] == 2 * [
        'Warning  "image" has values from 204 to 204, but was verified on 0 '
        "to 1; check the preprocessing"
    ]


def test_images_of_any_size(tmp_path):
    """They are not resized, and go into one call if their sizes are equal."""
    path = write_brightness(tmp_path / "model.onnx", size=("h", "w"))
    sizes = [(4, 4), (9, 7), (4, 4), (7, 9), (4, 4)] * 3
    for number, size in enumerate(sizes):
        file = tmp_path / "in" / f"{number:02}.png"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(png(number * 17, size))
    found = load_artifact(path).predict(tmp_path / "in")
    outputs = np.stack([x.outputs["scores"] for x in found])
    expected = scores(np.arange(15) / 15)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("preprocess", "value"),
    [
        ("unit", 0.8),
        ("tf", 0.6),
        ({"scale": 1 / 51, "mean": [1]}, 3),
    ],
)
def test_preprocessing_from_python(preprocess, value, tmp_path):
    path = write_brightness(tmp_path / "model.onnx", known=False)
    (tmp_path / "one.png").write_bytes(png(204, (8, 6)))
    artifact = load_artifact(path)
    inputs = [tmp_path / "one.png"]
    (found,) = artifact.predict(inputs, preprocess=preprocess)
    np.testing.assert_allclose(
        found.outputs["scores"], scores(value)[0], atol=1e-5
    )
    with pytest.raises(RequestError, match="does not say how pixels become"):
        artifact.predict(inputs)
    assert len(list(artifact.predict(np.ones((2, 4, 4, 1))))) == 2
    for wanted, message in (
        ({"imag": "unit"}, 'input "imag" is unknown; did you mean "image"'),
        (preprocess, None),
    ):
        (tmp_path / "made.json").write_text(json.dumps(wanted), "utf-8-sig")
        with (
            pytest.raises(RequestError, match=message)
            if message
            else (contextlib.nullcontext())
        ):
            artifact.predict(inputs, preprocess=str(tmp_path / "made.json"))


@pytest.mark.parametrize("kind", [list, iter])
def test_a_preprocessing_for_arrays_is_refused(kind, tmp_path):
    artifact = load_artifact(write_brightness(tmp_path / "model.onnx"))
    inputs = [Image.new("L", (9, 9)), np.zeros((1, 4, 4, 1), "float32")]
    assert len(list(artifact.predict(kind(inputs)))) == 2
    with pytest.raises(RequestError, match="arrays are taken as they are"):
        list(artifact.predict(kind(inputs), preprocess="unit"))
    assert len(list(artifact.predict(kind(inputs[:1]), preprocess="unit"))) == 1


OLD = Path(__file__).parents[2] / "data" / "0.1.0" / "bundle"


@pytest.mark.parametrize(
    ("folder", "values", "message"),
    [
        (OLD, 100.0, "has values from 0 to 100, but was verified on"),
        (OLD, 1.0, None),
        (None, 100.0, "does not say on which values it was verified"),
    ],
    ids=["unlike the probes", "like the probes", "no bundle"],
)
def test_an_artifact_without_metadata(
    folder, values, message, tmp_path, caplog
):
    """The probes of its bundle say which values are usual."""
    path = (folder or tmp_path) / "model.onnx"
    if folder is None:
        shutil.copyfile(OLD / "model.onnx", path)
    artifact = load_artifact(path)
    assert artifact.metadata is None
    shape = [size or 32 for size in artifact.inputs[0].shape[1:]]
    inputs = np.linspace(0, values, 3 * math.prod(shape), dtype="float32")
    for _ in range(2 if folder is None else 1):
        list(artifact.predict(inputs.reshape(3, *shape)))
    found = [record.getMessage() for record in caplog.records]
    assert len(found) == bool(message) and (message or "") in "".join(found)


def test_several_inputs_take_no_image(tmp_path):
    class Runner:
        inputs = tuple(TensorSpec(n, (None, 2), "float32") for n in "ab")
        outputs = SUMS

        def run(self, feeds):
            return {"sum": (feeds["a"] + feeds["b"]).sum(axis=1)}

    artifact = Artifact(Runner())
    (tmp_path / "x.png").write_bytes(png(0))
    with pytest.raises(RequestError, match='has the inputs "a", "b"'):
        artifact.predict(tmp_path / "x.png")
    pair = {"a": np.ones((3, 2)), "b": np.ones((3, 2))}
    assert [x.outputs["sum"] for x in artifact.predict(pair)] == [4, 4, 4]
