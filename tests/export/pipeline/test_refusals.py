"""What export_model refuses, and that it changes nothing then."""

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export import (
    ArtifactError,
    ConversionError,
    RequestError,
    export_model,
)
from keras_inception_export.bundle import bundle as bundles
from keras_inception_export.bundle import publication
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.diagnosis.layer_reference import LayerReferences
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.prediction.pipeline import Prediction
from keras_inception_export.prediction.writers import open_writer
from keras_inception_export.verification.probes import Probes
from tests.helpers.format_cases import constant_model
from tests.helpers.numeric import randomize


def test_an_unsupported_layer_is_named(tmp_path):
    volume = keras.Input((4, 4, 4, 2))
    x = layers.Conv3D(2, 1, name="fine")(volume)
    x = layers.Conv3D(2, 2, dilation_rate=2, name="shrink")(x)
    model = randomize(keras.Model(volume, layers.Flatten()(x)))
    with pytest.raises(ConversionError, match="'shrink'"):
        export_model(model, tmp_path / "out", formats=["tflite"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cast", [False, True])
def test_an_output_of_another_dtype_than_declared(cast, tmp_path):
    x = keras.Input((1,), dtype="int64")
    y = layers.IntegerLookup(vocabulary=[3, 5], output_mode="one_hot")(x)
    if cast:
        y = keras.ops.cast(y, "float32")
    model, out = keras.Model(x, y), tmp_path / "out"
    if cast:
        assert export_model(model, out, formats=["saved_model"])["passed"]
        return
    message = '"output" is int64, but Keras declares it as float32; convert it'
    with pytest.raises(RequestError, match=message):
        export_model(model, out, formats=["saved_model"])
    assert not out.exists()


def test_a_failed_export_leaves_the_old_bundle(saved, published, tmp_path):
    out = shutil.copytree(published, tmp_path / "out")
    files = [path for path in out.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in files}
    with pytest.raises(ArtifactError):
        export_model(constant_model(), out, overwrite=True)
    with pytest.raises(RequestError, match="exists already"):
        export_model(saved, out)
    assert {path: path.read_bytes() for path in files} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    report = export_model(saved, out, formats=["tflite"], overwrite=True)
    assert [a["format"] for a in report["artifacts"]] == ["tflite"]
    assert not (out / "model.onnx").exists()


def test_full_disk_leaves_nothing(saved, tmp_path, monkeypatch):
    def no_space(inference_model, path, *, opset):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    broken = replace(FORMATS["onnx"], write=no_space)
    monkeypatch.setitem(FORMATS, "onnx", broken)
    with pytest.raises(RequestError, match="No space left on device"):
        export_model(saved, tmp_path / "out", formats=["onnx"])
    assert not list(tmp_path.iterdir())


def write_results(path):
    outputs = (TensorSpec("x", (None, 3), "float32"),)
    with open_writer(path, outputs, 3) as write:
        write([Prediction("one", {"x": np.ones(3, "float32")})])


FILES = {
    "probes.npz": Probes((), (), (), ()).save,
    "layer_references.npz": LayerReferences(()).save,
    **dict.fromkeys(
        ("out.csv", "out.jsonl", "out.npz", "out.parquet"), write_results
    ),
    "report.json": lambda path: bundles.write_report(path.parent, {}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_full_disk_is_reported_for_every_file(name, tmp_path):
    (tmp_path / name).symlink_to("/dev/full")
    message = f"{name} cannot be written: the disk is full"
    with pytest.raises(RequestError, match=message):
        FILES[name](tmp_path / name)


def test_a_folder_that_cannot_be_published_to_is_reported(tmp_path):
    with pytest.raises(RequestError, match="/proc/out cannot be written: "):
        publication.publish(tmp_path, Path("/proc/out"), overwrite=False)
    assert tmp_path.exists()
