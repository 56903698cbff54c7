"""Columns that differ in magnitude, such as boxes in pixels beside scores."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_inception_export import export_model, load_artifact, verify
from keras_inception_export.data.samples import Samples
from keras_inception_export.formats import quantizer
from keras_inception_export.formats.quantizer import uneven_joins
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.metrics import columns_snr, measure
from keras_inception_export.quantization.split import split
from tests.helpers.numeric import random_images, to_array

QUANTIZED = tuple(n for n, record in FORMATS.items() if record.quantizer)
IMAGES = random_images((120, 8, 8, 2)) * np.linspace(
    0.2, 1, 120, dtype="float32"
).reshape(-1, 1, 1, 1)
RANGES = {"a": (-1, 1), "b": (0, 12), "c": (-80, 0), "zero": (0, 0)}
RANGES |= {"x": (-1, 12), "y": (-10, 10)}


@pytest.mark.parametrize(
    ("joins", "uneven", "mixed"),
    {
        "similar": ({"x": "ab"}, "", ""),
        "uneven": ({"x": "ac"}, "x", "x"),
        "one after the other": ({"x": "ab", "y": "xc"}, "y", "y"),
        "joined again": ({"x": "ac", "y": "xb"}, "xy", "xy"),
        "moved": ({"x": "ac", "y": "x"}, "xy", "xy"),
        "always zero": ({"x": ["zero", "c"]}, "", ""),
    }.values(),
)
def test_which_joins_are_uneven(joins, uneven, mixed):
    steps = [(name, reads, [name]) for name, reads in joins.items()]
    assert uneven_joins(steps, RANGES) == (set(uneven), set(mixed))


def dense(units, size, name):
    """Return a layer whose outputs have about this magnitude."""
    initializer = keras.initializers.RandomNormal(stddev=size / 10, seed=1)
    return layers.Dense(units, kernel_initializer=initializer, name=name)


def joining():
    """Return a model that joins boxes and scores in several ways."""
    image = keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(image)
    x = layers.Flatten()(x)
    boxes = [dense(4, 100, f"boxes_{i}")(x) for i in range(4)]
    scores = [dense(4, 1, f"scores_{i}")(x) for i in range(4)]
    weights = np.random.default_rng(0).normal(size=(8, 3))
    weights[:4] /= 100
    inner = layers.Dense(3, name="inner")
    outputs = {
        "plain": layers.Concatenate()([boxes[0], scores[0]]),
        "reshaped": layers.Concatenate()(
            [layers.Reshape((2, 2))(x) for x in (boxes[1], scores[1])]
        ),
        "stacked": ops.stack([boxes[2], ops.sigmoid(scores[2])], axis=-1),
        "read": inner(layers.Concatenate()([boxes[3], scores[3]])),
    }
    inner.kernel.assign(weights)
    return keras.Model(image, outputs)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return joining()


@pytest.mark.parametrize("name", QUANTIZED)
@pytest.mark.parametrize("ratio", [16, np.inf])
def test_each_column_keeps_its_resolution(
    name, ratio, model, monkeypatch, tmp_path
):
    """With one scale for all joined values, the scores are lost."""
    monkeypatch.setattr(quantizer, "MAX_RATIO", ratio)
    path = tmp_path / FORMATS[name].file_name
    FORMATS[name].quantizer(
        to_inference_model(functional(model)),
        tmp_path,
        calibration={"image": IMAGES[::2]},
    ).write(path, "int8")
    outputs = load_artifact(path)(IMAGES[1::2])
    expected = {k: to_array(x) for k, x in model(IMAGES[1::2]).items()}
    worst = min(x.column_snr_db for x in measure(outputs, expected, None))
    assert (worst > 15) == (ratio == 16)


def test_a_layer_with_uneven_columns_stays_in_float(tmp_path):
    """In TFLite its result would have one scale; ONNX returns float."""
    keras.utils.set_random_seed(0)
    last = layers.Dense(3, name="last")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2), name="image"),
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.Flatten(),
            last,
        ]
    )
    last.kernel.assign(last.kernel * [1000, 1000, 1])
    report = export_model(
        model,
        tmp_path / "out",
        formats=QUANTIZED,
        samples=IMAGES,
        quantize="int8",
    )
    kept = {}
    for artifact in report["artifacts"]:
        if artifact["quantization"]:
            kept[artifact["format"]] = artifact["float_layers"]
            (record,) = artifact["measured"]
            assert record["column"] in range(3)
            assert record["column_snr_db"] > 10
    assert [x for layers in kept.values() for x in layers] == ["last"]


def test_columns_that_the_weights_hardly_determine_are_not_judged(tmp_path):
    """The tip of a ReLU and a constant are not; all that many values move are.

    Small columns are judged, and those that are a difference of large values.
    """
    first = layers.Dense(64, activation="relu")
    last = layers.Dense(5, name="last")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2), name="image"),
            layers.Flatten(),
            first,
            last,
            layers.ReLU(),
        ]
    )
    first.kernel.assign(np.take(first.kernel, np.arange(64) // 2, axis=1))
    kernel = np.random.default_rng(0).random((64, 5)) * [1, 1e-5, 1, 0, 1]
    kernel[::2, 4] = 1000
    kernel[1::2, 4] -= 1000
    last.kernel.assign(kernel)
    parts = split(Samples({"image": IMAGES}))
    top = to_array(model(parts.evaluation.inputs["image"]))[:, 2].max()
    last.bias.assign([0, 0, -0.9995 * top, 7, 0])
    evaluation = Evaluation.of(
        functional(model),
        parts,
        ExportOptions(
            output_dir=tmp_path / "out", samples=IMAGES, quantize="int8"
        ),
    )
    (judged,) = evaluation.columns.values()
    assert judged.tolist() == [True, True, False, False, True]
    ((name, rows),) = evaluation.reference.items()
    lost = {name: np.asarray(rows)}
    assert columns_snr(lost[name] * [1, 0, 1, 1, 1], lost[name])[1] < 10


def test_lost_columns_are_named(tmp_path):
    """No scheme reproduces the tip of a ReLU, and none does so silently."""
    keras.utils.set_random_seed(0)
    last = layers.Dense(3, name="last")
    model = keras.Sequential(
        [keras.Input((8, 8, 2), name="image"), layers.Flatten(), last]
    )
    model.add(layers.ReLU())
    images = np.random.default_rng(0).random((300, 8, 8, 2), "float32")
    evaluated = split(Samples({"image": images}), 100).evaluation.inputs[
        "image"
    ]
    top = to_array(model(evaluated))[:, 2].max()
    last.bias.assign([1, 1, 1e-4 - top])
    report = export_model(
        model,
        tmp_path / "out",
        formats="onnx",
        samples=images,
        quantize="int8",
        calibration_samples=100,
    )
    (record,) = report["artifacts"][1]["measured"]
    assert record["lost_columns"] == ["column 2"]
    rare, lost = report["evaluation"]["warnings"]
    assert "fewer than 3 move column 2 of output" in rare
    assert "onnx int8: column 2 of output" in lost
    assert verify(tmp_path / "out")[1].passed
