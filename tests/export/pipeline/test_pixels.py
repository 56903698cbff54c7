"""Artifacts that take pixels, from images to outputs."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from PIL import Image

from keras_inception_export import (
    RequestError,
    export_model,
    load_artifact,
    verify,
)
from keras_inception_export.data.preprocessing import PRESETS
from keras_inception_export.formats.onnx.quantize.quantizer import _optimized
from keras_inception_export.formats.registry import FORMATS
from tests.helpers.numeric import randomize

FLOATS = {"Cast", "Add", "DequantizeLinear", "CAST", "DEQUANTIZE"}
"""Operators that would make floats of pixels."""


def classifier(padding):
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, padding=padding, activation="relu")(image)
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return randomize(keras.Model(image, layers.Dense(5, name="scores")(x)))


def photos(folder):
    """Write images of different brightness; return their pixels."""
    generator = np.random.default_rng(0)
    low = generator.integers(0, 200, (40, 1, 1, 1))
    pixels = generator.integers(low, 256, (40, 16, 16, 3)).astype("uint8")
    folder.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:02}.png")
    return pixels


def first_operators(path):
    """Return what reads the pixels, up to the first convolution."""
    if path.suffix == ".tflite":
        details = Interpreter(str(path))._get_ops_details()
        names = [entry["op_name"] for entry in details]
    else:
        names = [node.op_type for node in _optimized(path)]
    end = next(i for i, name in enumerate(names) if "conv" in name.lower())
    return names[:end]


def check(tmp_path, padding, preset, formats):
    keras.utils.set_random_seed(0)
    model, pixels = classifier(padding), photos(tmp_path / "photos")
    report = export_model(
        model,
        tmp_path / "out",
        formats=formats,
        samples=tmp_path / "photos",
        preprocess=preset,
        pixels=True,
        quantize="int8",
        min_agreement=0,
    )
    expected = np.asarray(model(PRESETS[preset].normalize(pixels)))
    for entry in report["artifacts"]:
        path = tmp_path / "out" / entry["path"]
        metadata = FORMATS[entry["format"]].read_metadata(path)
        (image,) = metadata.inputs
        assert (image.dtype, image.shape) == ("uint8", (None, 16, 16, 3))
        assert image.preprocessing.keeps_values
        assert image.built_in.mean == PRESETS[preset].mean
        outputs = load_artifact(path)(pixels)["scores"]
        error = np.abs(outputs - expected).max() / np.abs(expected).max()
        assert error < (0.1 if entry["quantization"] else 1e-5)
        if entry["quantization"]:
            assert FLOATS.isdisjoint(first_operators(path))
            assert entry["inputs"][0]["scale"] == 1
    assert all(result.passed for result in verify(tmp_path / "out"))


@pytest.mark.parametrize(
    ("padding", "preset"), [("valid", "caffe"), ("same", "torch")]
)
def test_artifacts_take_pixels(padding, preset, tmp_path):
    check(tmp_path, padding, preset, ["onnx"])


@pytest.mark.slow
def test_artifacts_of_every_format_take_pixels(tmp_path):
    check(tmp_path, "same", "tf", [x for x in FORMATS if x != "onnx"])


@pytest.mark.parametrize("shape", [(16, 16, 3), (4,)])
def test_unknown_preprocessing_is_refused(shape, tmp_path):
    values = keras.Input(shape)
    model = keras.Model(values, layers.Dense(2)(layers.Flatten()(values)))
    with pytest.raises(RequestError, match="need to know how pixels become"):
        export_model(model, tmp_path / "out", pixels=True)


def test_other_inputs_of_int8(tmp_path):
    inputs = keras.Input((4, 4, 3), name="image"), keras.Input((2,), name="age")
    parts = [layers.Flatten()(inputs[0]), inputs[1]]
    model = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(parts)))
    with pytest.raises(RequestError, match="other inputs too: age"):
        export_model(
            model,
            tmp_path / "out",
            pixels=True,
            preprocess="unit",
            quantize="int8",
            samples={"image": np.zeros((40, 4, 4, 3), "uint8")},
        )
