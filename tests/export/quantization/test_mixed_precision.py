"""Plain int8, int8 as it is exported, int8 with float layers; on digits."""

import importlib

import keras
import numpy as np
import pytest

from keras_inception_export import (
    ArtifactError,
    ConversionError,
    export_model,
    load_artifact,
)
from keras_inception_export.formats.onnx import tracing as onnx_convert
from keras_inception_export.formats.onnx.quantize import (
    quantizer as onnx_quantize,
)
from keras_inception_export.model import loading as prepare
from keras_inception_export.quantization import search
from tests.helpers.hard_models import (
    digits,
    easy,
    gated,
    hard,
    plain,
)

FORMATS = ("tflite", "onnx")


def exported(model, folder, formats=FORMATS, **options):
    """Export in int8; return the report and the int8 artifacts by format."""
    report = export_model(
        model,
        folder,
        formats=formats,
        samples=digits(),
        quantize="int8",
        calibration_samples=100,
        **options,
    )
    return {
        artifact["format"]: artifact
        for artifact in report["artifacts"]
        if artifact["quantization"] == "int8"
    }


def digit(artifact):
    (record,) = artifact["measured"]
    return record


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    return exported(easy(plain), tmp_path_factory.mktemp("easy") / "out")


def test_hard_models_compute_what_the_easy_ones_do():
    images = digits()[0][:100]
    for build in (plain, gated):
        before, after = (
            make(build).predict(images, verbose=0) for make in (easy, hard)
        )
        np.testing.assert_allclose(after, before, atol=1e-5)


def test_a_healthy_model_needs_nothing(healthy):
    for artifact in healthy.values():
        assert digit(artifact)["agreement"] >= 0.99
        assert artifact["float_layers"] == []


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("build", [plain, gated], ids=["plain", "gated"])
def test_plain_int8_of_a_hard_model_is_ruined(name, build, tmp_path):
    images, labels = digits()
    inference_model = prepare.to_inference_model(
        prepare.functional(hard(build)), None
    )
    module = importlib.import_module(
        f"keras_inception_export.formats.registry.{name}_quantize"
    )
    calibration = {"image": images[:100]}
    path = tmp_path / f"model.{name}"
    module.Quantizer(inference_model, tmp_path, calibration=calibration).write(
        path, "int8"
    )
    classes = load_artifact(path)(images)["digit"].argmax(axis=1)
    assert np.mean(classes == labels) < 0.15  # one of ten is 0.1


def test_equalization_mends_it_at_full_size(healthy, tmp_path):
    artifacts = exported(hard(plain), tmp_path / "out")
    for name, artifact in artifacts.items():
        # Of the three that were made large one never gets past the ReLU.
        assert artifact["equalized_channels"] >= 2
        assert artifact["float_layers"] == []
        assert digit(artifact)["agreement"] >= 0.99
        assert artifact["bytes"] == pytest.approx(
            healthy[name]["bytes"], rel=0.01
        )


def test_without_equalization_layers_would_have_to_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "equalize", lambda *args: 0)
    artifact = exported(hard(plain), tmp_path / "out", ("onnx",))["onnx"]
    assert artifact["float_layers"] != []


def test_every_scheme_is_written_from_the_equalized_model(tmp_path):
    report = export_model(
        hard(plain),
        tmp_path / "out",
        formats="onnx",
        samples=digits(),
        quantize=("float16", "int8"),
    )
    schemes = [artifact["quantization"] for artifact in report["artifacts"]]
    assert schemes == [None, "float16", "int8"]
    (channels,) = {a["equalized_channels"] for a in report["artifacts"]}
    assert channels >= 2


@pytest.mark.parametrize("name", FORMATS)
def test_float_layers_mend_what_equalization_cannot(name, tmp_path):
    lines = []
    artifacts = exported(
        hard(gated), tmp_path / "out", (name,), progress=lines.append
    )
    artifact = artifacts[name]
    assert digit(artifact)["agreement"] >= 0.99
    assert {"first", "second"} <= set(artifact["float_layers"])
    assert len(artifact["float_layers"]) < 4
    assert artifact["float_cost"]["bytes"] > 0
    assert 0.1 < artifact["float_cost"]["time"] < 10
    module = importlib.import_module(
        f"keras_inception_export.formats.registry.{name}_quantize"
    )
    path = tmp_path / "out" / artifact["path"]
    assert set(artifact["float_layers"]) <= set(module.float_layers(path))
    assert any(line.startswith("Rank") for line in lines)


def test_what_nothing_mends_is_not_published(tmp_path):
    images, labels = digits()
    images = images.copy()
    images[:, 0, 0] = np.where(np.arange(len(images)) % 2, 1e4, 0)[:, None]
    with pytest.raises(ArtifactError) as caught:
        export_model(
            easy(plain),
            tmp_path / "out",
            formats="onnx",
            samples=(images, labels),
            quantize="int8",
            quantized_io="int8",
            calibration_samples=30,
        )
    assert "agrees with Keras on" in str(caught.value)
    assert 'onnx int8: worst is "first" (off by' in str(caught.value)
    assert "any number of layers in float" in str(caught.value)
    assert "30 samples" in str(caught.value)  # a warning of them
    assert list(tmp_path.iterdir()) == []


def test_layers_that_the_runtime_takes_back_do_not_count(tmp_path, monkeypatch):
    def without_first(path):
        return tuple(x for x in float_layers(path) if x != "first")

    float_layers = onnx_quantize.float_layers
    monkeypatch.setattr(onnx_quantize, "float_layers", without_first)
    with pytest.raises(ArtifactError, match="computes first in integers"):
        exported(hard(gated), tmp_path / "out", ("onnx",))


def with_volume(model):
    """Put a layer before a model that int8 knows in ONNX and not in TFLite."""
    image = keras.Input((8, 8, 1), name="image")
    volume = keras.layers.Conv3D(1, 1, name="volume")
    x = keras.layers.Reshape((8, 8, 1))(
        volume(keras.layers.Reshape((8, 8, 1, 1))(image))
    )
    volume.set_weights([np.ones((1, 1, 1, 1, 1)), np.zeros(1)])
    return keras.Model(image, keras.layers.Identity(name="digit")(model(x)))


def convert_nothing(*args):
    raise ConversionError("ONNX cannot express the model")


@pytest.mark.parametrize("with_onnx", [True, False])
def test_tflite_does_not_need_what_onnx_knows(with_onnx, tmp_path, monkeypatch):
    if not with_onnx:
        monkeypatch.setattr(onnx_convert, "convert", convert_nothing)
    lines = []
    artifact = exported(
        with_volume(hard(gated)),
        tmp_path / "out",
        ("tflite",),
        progress=lines.append,
    )["tflite"]
    assert digit(artifact)["agreement"] >= 0.99
    assert {"volume", "first"} <= set(artifact["float_layers"])
    assert any("volume alone" in line for line in lines) == with_onnx
    assert any("without ONNX" in line for line in lines) != with_onnx
