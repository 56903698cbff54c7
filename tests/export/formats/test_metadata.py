"""Each format's metadata, read by other tools too."""

import zipfile
from dataclasses import replace
from xml.etree import ElementTree

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf

from keras_inception_export.data.metadata import (
    IMAGE,
    SCORES,
    InputMetadata,
    Metadata,
    OutputMetadata,
)
from keras_inception_export.data.preprocessing import PRESETS
from keras_inception_export.errors import ArtifactError
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.model.inference_model import InferenceModel

SHAPE = (None, 4, 4, 3)
METADATA = Metadata(
    "tiny",
    (
        InputMetadata(
            *("image", SHAPE, "float32", IMAGE, PRESETS["caffe"], (-1.0, 2.5))
        ),
    ),
    (
        OutputMetadata(
            "out", (None, 3), "float32", SCORES, ("a", "ü\n", '"<&>')
        ),
    ),
    {"keras": "3", "onnx": None},
    "int8",
    {"passed": True},
)


def tiny():
    image = keras.Input(SHAPE[1:], name="image")
    x = keras.layers.GlobalAveragePooling2D()(image)
    return InferenceModel.of(
        keras.Model(image, keras.layers.Dense(3, name="out")(x))
    )


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    model, folder = tiny(), tmp_path_factory.mktemp("artifacts")
    for record in FORMATS.values():
        record.write(model, folder / record.file_name, opset=18)
    return folder


def read_onnx(path):
    model = onnx.load(path)
    onnx.checker.check_model(model)
    return {x.key: x.value for x in model.metadata_props}["keras_inception"]


def read_tflite(path):
    # Or `unzip -p model.tflite`, which not every machine has.
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["keras_inception.json"]
        return archive.read("keras_inception.json")


def read_saved_model(path):
    name = tf.io.gfile.join(path, "assets.extra", "keras_inception.json")
    return tf.io.gfile.GFile(name).read()


def read_openvino(path):
    (entry,) = ElementTree.parse(path).iter("keras_inception")
    return entry.get("value")


TOOLS = {
    "onnx": read_onnx,
    "tflite": read_tflite,
    "saved_model": read_saved_model,
    "openvino": read_openvino,
}


@pytest.mark.parametrize("name", FORMATS)
def test_metadata_is_read_by_us_and_by_others(name, artifacts):
    record = FORMATS[name]
    path = artifacts / record.file_name
    feed = {"image": np.random.default_rng(0).random((2, 4, 4, 3), "float32")}
    before = record.open_runner(path).run(feed)["out"]
    assert record.read_metadata(path) is None
    record.write_metadata(path, METADATA)
    assert record.read_metadata(path) == METADATA
    text = TOOLS[name](str(path))
    assert Metadata.decoded(text) == METADATA
    runner = record.open_runner(path)
    np.testing.assert_array_equal(runner.run(feed)["out"], before)


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_metadata_is_one_error(name, artifacts, tmp_path):
    record = FORMATS[name]
    path = tmp_path / "artifact"
    (path / "assets.extra").mkdir(parents=True)
    if name != "saved_model":
        path = artifacts / record.file_name
        content = path.read_bytes()
        path = tmp_path / record.file_name
        path.write_bytes(content.replace(b"schema", b"schemx"))
    else:
        record.attach(path, b"[1]")
    with pytest.raises(ArtifactError, match="metadata cannot be read"):
        record.read_metadata(path)


JSON = METADATA.as_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "its schema is 2, expected 1"),
        ({"inputs": None}, "cannot be read"),
        ({"inputs": [{"name": "image"}]}, "cannot be read"),
        ({"outputs": [JSON["outputs"][0] | {"labels": 3}]}, "cannot be read"),
        ({"inputs": [JSON["inputs"][0] | {"preprocessing": 1}]}, "be a dict"),
        ({"inputs": [JSON["inputs"][0] | {"verified": ["a", 1]}]}, "a valid n"),
        ({"inputs": [JSON["inputs"][0] | {"name": 1}]}, "a valid string"),
    ],
    ids=str,
)
def test_metadata_that_cannot_be_read(change, message):
    with pytest.raises(ArtifactError, match=message):
        Metadata.from_json(JSON | change)
    with pytest.raises(ArtifactError, match="cannot be read"):
        Metadata.decoded(b"{")


def test_unknown_keys_are_ignored():
    assert Metadata.from_json(JSON | {"later": 1}) == METADATA
    assert replace(METADATA, quantization=None) != METADATA
