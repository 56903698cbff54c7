"""What export_model refuses, and what it leaves as it was."""

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
from keras_inception_export.bundle import bundle
from keras_inception_export.data.samples import save_outputs
from keras_inception_export.diagnosis.layer_reference import LayerReferences
from keras_inception_export.verification.probes import Probes
from tests.helpers.format_cases import small_model
from tests.helpers.numeric import randomize


def test_fixed_batch_of_the_model_is_not_overruled(tmp_path):
    image = keras.Input(batch_shape=(2, 8, 8, 3))
    model = keras.Model(image, layers.Conv2D(2, 3)(image))
    with pytest.raises(RequestError, match="fixed batch size 2"):
        export_model(model, tmp_path / "out", batch_size=4)


def refused_lambda():
    image = keras.Input((4,))
    return keras.Model(image, layers.Lambda(lambda x: x * 2, name="hm")(image))


def refused_unbuilt():
    return keras.Sequential([layers.Dense(3)], name="young")


def refused_name():
    image = keras.Input((4,), name="in")
    return keras.Model(image, layers.Dense(2)(image))


def refused_layer_name():
    image = keras.Input((4,))
    return keras.Model(image, layers.Dense(2, name="two words")(image))


def refused_same_name():
    x = keras.Input((4,), name="x")
    return keras.Model({"x": x}, {"x": layers.Dense(2)(x)})


def refused_string():
    words = keras.Input((1,), dtype="string", name="words")
    lookup = layers.StringLookup(vocabulary=["a", "b"], name="lookup")
    return keras.Model(words, lookup(words))


@pytest.mark.parametrize(
    ("make", "words"),
    (
        (refused_lambda, '"hm" is a Lambda'),
        (refused_unbuilt, '"young" is not built'),
        (refused_name, 'input name "in" cannot be used'),
        (refused_layer_name, 'layer name "two words" cannot be a scope'),
        (refused_same_name, '"x" names both an input and an output'),
        (refused_string, '"words" is of dtype string'),
    ),
)
def test_what_cannot_be_exported_is_refused(make, words, tmp_path):
    with pytest.raises(RequestError, match=words):
        export_model(make(), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_a_format_lacks_is_refused_with_the_layer(tmp_path):
    volume = keras.Input((4, 4, 4, 2))
    x = layers.Conv3D(2, 1, name="fine")(volume)
    x = layers.AveragePooling3D(2, name="shrink")(x)
    model = randomize(keras.Model(volume, layers.Flatten()(x)))
    with pytest.raises(ConversionError, match="'shrink'"):
        export_model(model, tmp_path / "out", formats=["tflite"])
    assert not list(tmp_path.iterdir())


def test_a_dead_model_proves_nothing(tmp_path):
    model = small_model()
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    with pytest.raises(ArtifactError, match='"kind" hardly depends'):
        export_model(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_failed_export_leaves_the_old_bundle(saved, tmp_path):
    out = tmp_path / "out"
    export_model(saved, out, formats=["onnx"])
    before = {p: p.read_bytes() for p in out.iterdir()}
    dead = small_model()
    for weight in dead.weights:
        weight.assign(np.zeros(weight.shape))
    with pytest.raises(ArtifactError):
        export_model(dead, out, overwrite=True)
    with pytest.raises(RequestError, match="exists already"):
        export_model(saved, out)
    assert {p: p.read_bytes() for p in out.iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    report = export_model(saved, out, formats=["tflite"], overwrite=True)
    assert [a["format"] for a in report["artifacts"]] == ["tflite"]
    assert not (out / "model.onnx").exists()


def test_overwrite_spares_what_is_no_bundle(saved, tmp_path):
    (tmp_path / "thesis.txt").write_text("all my work")
    with pytest.raises(RequestError, match="is not a bundle"):
        export_model(saved, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "all my work"


def test_full_disk_leaves_nothing(saved, tmp_path, monkeypatch):
    def no_space(inference_model, path, *, opset):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    from keras_inception_export.formats.onnx import runtime as onnx

    monkeypatch.setattr(onnx, "write", no_space)
    with pytest.raises(RequestError, match="No space left on device"):
        export_model(saved, tmp_path / "out", formats=["onnx"])
    assert not list(tmp_path.iterdir())


FILES = {
    "probes.npz": Probes((), (), {}).save,
    "layer_references.npz": LayerReferences(()).save,
    "outputs.npz": lambda path: save_outputs(path, {"x": np.ones(3)}),
    "report.json": lambda path: bundle.write_report(path.parent, {}),
}


@pytest.mark.parametrize("name", FILES)
def test_full_disk_is_told_of_every_file(name, tmp_path):
    (tmp_path / name).symlink_to("/dev/full")
    words = f"{name} cannot be written: No space left on device"
    with pytest.raises(RequestError, match=words):
        FILES[name](tmp_path / name)


def test_a_place_that_cannot_be_renamed_to_is_told(tmp_path):
    with pytest.raises(RequestError, match="/proc/out cannot be written: "):
        bundle.publish(tmp_path, Path("/proc/out"))
    assert tmp_path.exists()
