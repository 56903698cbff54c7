"""Preprocessing, labels and verification, in every artifact of an export."""

import json

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from keras_inception_export import RequestError, export_model
from keras_inception_export.bundle.bundle import read_report
from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.preprocessing import PRESETS, Preprocessing
from keras_inception_export.data.samples import Samples, with_labels
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.input_ranges import input_domains
from keras_inception_export.model.loading import functional
from keras_inception_export.pipeline.describe import (
    choose_preprocessing,
    warn_of_samples,
)
from keras_inception_layers import VGG16
from keras_inception_layers.preprocessing import MODES, preprocess_input


def classifier(*first, name="tiny", shape=(8, 8, 3), dtype="float32"):
    image = x = keras.Input(shape, name="image", dtype=dtype)
    for layer in (*first, layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()):
        x = layer(x)
    outputs = layers.Dense(2, "softmax", name="scores")(x)
    return keras.Model(image, outputs, name=name)


def normalization(mean):
    return layers.Normalization(mean=[mean] * 3, variance=[mean**2 / 4] * 3)


def adapted_batch_norm():
    model = classifier(layers.BatchNormalization())
    layer = model.layers[1]
    layer.moving_mean.assign([120.0] * 3)
    layer.moving_variance.assign([3600.0] * 3)
    return model


def in_the_model():
    image = keras.Input((8, 8, 3), name="image")
    x = preprocess_input(image, mode="caffe")
    return keras.Model(image, layers.GlobalMaxPooling2D()(x))


def fine_tuned(*first):
    base = VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    image = x = keras.Input((32, 32, 3))
    for layer in (*first, base):
        x = layer(x)
    return keras.Model(image, x)


KNOWN = {
    **{
        name: (
            lambda name=name: classifier(name=name),
            next(iter(modes.values())),
        )
        for name, modes in MODES.items()
    },
    "fine-tuned": (fine_tuned, "caffe"),
    "fine-tuned, rescaling": (
        lambda: fine_tuned(layers.Rescaling(2.0, -255.0)),
        "none",
    ),
    "rescaling": (lambda: classifier(layers.Rescaling(1 / 255)), "none"),
    "rescaling to both signs": (
        lambda: classifier(layers.Rescaling(1 / 127.5, -1), name="vgg16"),
        "none",
    ),
    "normalization": (lambda: classifier(normalization(120.0)), "none"),
    "normalization of 0 to 1": (lambda: classifier(normalization(0.5)), None),
    "batch norm": (adapted_batch_norm, "none"),
    "preprocess_input": (in_the_model, "none"),
    "uint8": (
        lambda: classifier(layers.Rescaling(1 / 255), dtype="uint8"),
        "none",
    ),
    "augmentation": (lambda: classifier(layers.RandomContrast(0.2)), None),
    "mask": (
        lambda: classifier(layers.Rescaling(1.0), dtype="bool"),
        None,
    ),
    "gray": (lambda: classifier(name="vgg16", shape=(8, 8, 1)), None),
    "unknown": (classifier, None),
    "no image": (
        lambda: keras.Sequential([keras.Input((4,)), layers.Dense(2)]),
        None,
    ),
}


def chosen(model, wanted=None):
    model = functional(model)
    specs = InferenceModel.of(model).inputs
    found = choose_preprocessing(wanted, model, specs, input_domains(model))
    return specs[0], found.get(specs[0].name)


@pytest.mark.parametrize(("make", "preset"), KNOWN.values(), ids=KNOWN)
def test_what_is_known_without_options(make, preset):
    spec, found = chosen(make())
    assert found == (preset and PRESETS[preset].fitted(spec))


@pytest.mark.parametrize("preset", ["unit", "torch"])
@pytest.mark.parametrize(
    "case", [x for x in KNOWN if KNOWN[x][1] == "none" and x != "uint8"]
)
def test_nothing_is_scaled_twice(case, preset):
    with pytest.raises(RequestError, match='scales ".*" itself.* "none"'):
        chosen(KNOWN[case][0](), PRESETS[preset])


def test_layers_for_training_scale_nothing():
    spec, found = chosen(
        classifier(layers.RandomBrightness(0.2)), PRESETS["unit"]
    )
    assert found == PRESETS["unit"].fitted(spec)


def test_classes_are_counted_like_the_labels(caplog):
    samples = Samples({}, np.array([0, 1, 1]), ("ant", "cat"))
    assert with_labels(samples, ["cat", "dog", "ant"]).labels.tolist() == [
        2,
        0,
        0,
    ]
    with caplog.at_level("INFO", "keras_inception_export"):
        assert with_labels(samples, ["Cat", "Ant"]) is samples
    assert "are not named like the labels (ant, cat)" in caplog.text


def test_a_class_of_two_labels_is_refused():
    samples = Samples({}, np.array([0, 1]), ("ant", "cat"))
    with pytest.raises(RequestError, match='labels are "cat", .* own name'):
        with_labels(samples, ["cat", "ant", "cat"])


@pytest.mark.parametrize(("scale", "warned"), [(1, True), (1 / 255, False)])
def test_arrays_unlike_the_images(scale, warned, caplog):
    array = np.full((3, 8, 8, 3), 200.0) * np.arange(3)[:, None, None, None]
    with caplog.at_level("INFO", "keras_inception_export"):
        warn_of_samples(
            Samples({"image": array * scale / 2}), {"image": PRESETS["unit"]}
        )
    assert ("from 0 to 200" in caplog.text) == warned


@pytest.fixture
def photos(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 10, 12, 3), "uint8")
    for number, image in enumerate(pixels):
        path = tmp_path / "photos" / ("cat" if number % 2 else "ant")
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path / f"{number}.png")
    return tmp_path / "photos"


def test_each_artifact_says_what_the_report_says(photos, tmp_path):
    keras.utils.set_random_seed(0)
    model, reports = classifier(), []
    for name in ("a", "b"):
        reports.append(
            export_model(
                model,
                tmp_path / name,
                formats=["onnx"],
                samples=photos,
                preprocess="tf",
                quantize="float16",
            )
        )
    report = reports[0]
    assert read_report(tmp_path / "a") == report
    shared = Metadata.from_json(report["metadata"])
    assert shared.inputs[0].preprocessing == Preprocessing(
        (8, 8), scale=1 / 127.5, mean=(1.0,)
    )
    low, high = shared.inputs[0].verified
    assert -1 <= low < -0.3 and 0.3 < high <= 1
    assert shared.outputs[0].labels == ("ant", "cat")
    assert shared.verification["passed"]
    for first, second in zip(*(x["artifacts"] for x in reports), strict=True):
        assert first["sha256"] == second["sha256"]
        path = tmp_path / "a" / first["path"]
        found = FORMATS[first["format"]].read_metadata(path)
        assert found.quantization == first["quantization"]
        assert found.as_json() == report["metadata"] | {
            "quantization": first["quantization"]
        }
        content = path.read_bytes()
        assert str(tmp_path).encode() not in content
        assert str(photos).encode() not in content


WRONG = {
    "labels": (
        {"labels": ["a", "b", "c"]},
        r"3 labels, .* \"scores\" \[None, 2\]",
    ),
    "empty label": ({"labels": ["a", " "]}, "number 2 of 2 is ' '"),
    "labels of numbers": ({"labels": [1, 2]}, "number 1 of 2 is 1"),
    "no such labels": ({"labels": "no.txt"}, "no.txt does not exist"),
    "preset": ({"preprocess": "tff"}, 'did you mean "tf"'),
    "no such file": ({"preprocess": "no.json"}, "no.json does not exist"),
    "field": ({"preprocess": {"scal": 1}}, 'did you mean "scale"'),
    "nested": ({"preprocess": {"x": {"y": {}}}}, 'field "y" is unknown'),
    "file within": ({"preprocess": {"x": "a.json"}}, '"a.json" is unknown'),
    "number": ({"preprocess": 1}, "must be a JSON object"),
    "input": ({"preprocess": {"x": "tf"}}, 'input "x" is unknown'),
    "size": ({"preprocess": {"size": [7, 8]}}, r"\[8, 8\] of the model"),
    "both": ({"preprocess": "tf", "pixel_scale": 0.5}, "give one of them"),
    "factor": ({"pixel_scale": 0.0}, "finite and not 0"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_refused_in_one_line(options, message, tmp_path):
    with pytest.raises(RequestError, match=message) as error:
        export_model(classifier(), tmp_path / "out", **options)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        ("labels.txt", "\ufeffant\r\nlittle cat\r\n\n", ("ant", "little cat")),
        ("labels.json", json.dumps(["ant", "ü"]), ("ant", "ü")),
    ],
)
def test_files_of_options(name, text, labels, tmp_path):
    from keras_inception_export.options import ExportOptions

    (tmp_path / name).write_text(text, encoding="utf-8")
    made = tmp_path / "made.json"
    made.write_text(json.dumps({"left": "tf", "right": {"scale": 0.5}}))
    options = ExportOptions(
        output_dir=tmp_path / "out", labels=tmp_path / name, preprocess=made
    )
    assert options.labels == labels
    assert options.preprocess == {
        "left": PRESETS["tf"],
        "right": Preprocessing(scale=0.5),
    }
