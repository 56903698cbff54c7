"""export_model, from any Keras model to a published bundle."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_inception_layers as plugin
from keras_inception_export import (
    ArtifactError,
    ConversionError,
    RequestError,
    diagnose,
    export_model,
    load_artifact,
    verify,
)
from keras_inception_export.bundle.bundle import read_report
from keras_inception_export.formats.registry import FILES
from keras_inception_export.options import ExportOptions
from keras_inception_export.pipeline import export_model as pipeline
from keras_inception_export.pipeline import subprocess_export as elsewhere
from keras_inception_export.pipeline.versions import versions
from tests.helpers.format_cases import CASES, inference_model_of, small_model
from tests.helpers.layer_cases import CASES as LAYER_CASES
from tests.helpers.numeric import random_images, randomize, settle_statistics

REPORT_KEYS = [
    "model",
    "versions",
    "probes",
    "layer_references",
    "evaluation",
    "artifacts",
    "passed",
]
ARTIFACT_KEYS = [
    "format",
    "quantization",
    "path",
    "bytes",
    "sha256",
    "inputs",
    "outputs",
    "seconds",
    "parity",
    "measured",
    "equalized_channels",
    "float_layers",
    "float_cost",
    "passed",
]


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = plugin.ConvBN(4, 3)
        self.pool = layers.GlobalMaxPooling2D()

    def call(self, inputs, training=None):
        far, near = inputs["far"], inputs["near"]
        return {
            "alone": self.pool(self.conv(near, training=training)),
            "both": self.pool(self.conv(far + near, training=training)),
        }


def subclassed():
    model = Subclassed()
    image = np.ones((1, 8, 8, 3), "float32")
    model({"near": image, "far": image})
    return randomize(model)


def preprocessing():
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = layers.RandomFlip()(layers.CenterCrop(12, 12)(x))
    x = layers.Dropout(0.5)(plugin.ConvBN(4, 3)(x))
    return randomize(keras.Model(image, layers.Flatten()(x)))


def with_side_heads():
    return randomize(
        plugin.VGG16Inception(
            input_shape=(80, 80, 1), classes=5, auxiliary=True
        )
    )


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_kind_of_model_is_proven(case, tmp_path):
    report = export_model(inference_model_of(case).model, tmp_path / "out")
    assert [a["passed"] for a in report["artifacts"]] == [True] * 3
    assert all(result.passed for result in verify(tmp_path / "out"))
    assert all(d.passed for d in diagnose(tmp_path / "out"))


def test_every_registered_layer_is_proven(tmp_path):
    """Each behind an output of its own, in one conversion.

    As outputs themselves, the side heads would be dropped.
    """
    image = keras.Input((27, 30, 3), name="image")
    outputs = {
        re.sub(r"\W+", "_", name): layers.Identity()(case.make()(image))
        for name, case in LAYER_CASES.items()
    }
    model = randomize(keras.Model(image, outputs))
    for artifact in export_model(model, tmp_path / "out")["artifacts"]:
        proven = [x["output"] for x in artifact["parity"] if x["passed"]]
        assert proven == list(outputs)


@pytest.mark.parametrize(
    "make", (subclassed, preprocessing), ids=lambda make: make.__name__
)
def test_more_kinds_of_model(make, tmp_path):
    assert export_model(make(), tmp_path / "out")["passed"]


@pytest.mark.parametrize(
    "policy", ("mixed_float16", "mixed_bfloat16", "float16", "float64")
)
def test_any_policy_becomes_float32(policy, tmp_path):
    """Before any format is written."""
    model = small_model(dtype=policy)
    report = export_model(model, tmp_path / "out", formats="onnx")
    assert report["artifacts"][0]["outputs"][0]["dtype"] == "float32"


@pytest.mark.parametrize(
    ("name", "policy"),
    (("MobileNetV2", "float32"), ("InceptionV3", "mixed_float16")),
)
def test_keras_applications(name, policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    model = getattr(keras.applications, name)(
        input_shape=(75, 75, 3),
        weights=None,
        classes=9,
        classifier_activation=None,
    )
    settle_statistics(model, random_images((8, 75, 75, 3)))
    assert export_model(model, tmp_path / "out")["passed"]
    assert all(d.passed for d in diagnose(tmp_path / "out"))


def test_side_heads_are_dropped(tmp_path):
    report = export_model(
        with_side_heads(), tmp_path, formats="onnx", overwrite=True
    )
    names = [spec["name"] for spec in report["artifacts"][0]["outputs"]]
    assert names == ["predictions"]


def test_report(saved, tmp_path):
    report = export_model(saved, tmp_path / "out")
    written = json.loads((tmp_path / "out/report.json").read_text())
    assert written == report
    assert list(report) == REPORT_KEYS
    assert list(report["artifacts"][0]) == ARTIFACT_KEYS
    assert [a["path"] for a in report["artifacts"]] == list(FILES.values())
    assert report["model"] == {
        "name": "small",
        "parameters": keras.models.load_model(saved).count_params(),
        "keras_path": str(saved),
        "backend": "tensorflow",
    }
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "layer_references.npz",
        "model.onnx",
        "model.tflite",
        "probes.npz",
        "report.json",
        "saved_model",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_artifacts_agree_with_keras(saved, tmp_path):
    export_model(saved, tmp_path / "out")
    images = random_images((5, 12, 12, 3))
    expected = keras.models.load_model(saved).predict(images, verbose=0)
    for path in FILES.values():
        run = load_artifact(tmp_path / "out" / path)
        np.testing.assert_allclose(run(images)["kind"], expected, atol=1e-6)
        np.testing.assert_allclose(
            run({"image": images})["kind"], expected, atol=1e-6
        )
        with pytest.raises(RequestError, match="expected .samples, 12, 12"):
            run(images[0])


def test_formats_are_chosen(saved, tmp_path):
    report = export_model(saved, tmp_path / "out", formats=["onnx"])
    assert [a["format"] for a in report["artifacts"]] == ["onnx"]
    assert not (tmp_path / "out/saved_model").exists()


def named_by_hand():
    first, second = keras.Input((3,), name="z"), keras.Input((4,), name="b")
    y = layers.Dense(2, name="y")(layers.Concatenate()([first, second]))
    return keras.Model([first, second], [y, layers.Dense(3, name="a")(y)])


def named_by_keras():
    first, second = keras.Input((3,)), keras.Input((4,))
    y = layers.Dense(2)(layers.Concatenate()([first, second]))
    return keras.Model([first, second], [layers.Dense(3)(y), y])


def named_by_keys():
    inputs = {"z": keras.Input((3,)), "b": keras.Input((4,), name="c")}
    y = layers.Dense(2)(layers.Concatenate()(list(inputs.values())))
    return keras.Model(inputs, {"y": y, "a": layers.Dense(3, name="d")(y)})


@pytest.mark.parametrize(
    ("make", "inputs", "outputs"),
    (
        (named_by_hand, ["z", "b"], ["y", "a"]),
        (named_by_keras, ["input", "input_1"], ["output", "output_1"]),
        (named_by_keys, ["z", "b"], ["y", "a"]),
    ),
)
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_names_and_order(make, inputs, outputs, tmp_path):
    """Fresh, and built after other models, saved and loaded."""
    keras.backend.clear_session()
    models = {"fresh": make()}
    named_by_keras(), small_model()
    make().save(tmp_path / "model.keras")
    models["loaded"] = keras.models.load_model(tmp_path / "model.keras")
    for name, model in models.items():
        report = export_model(randomize(model), tmp_path / name)
        for artifact in report["artifacts"]:
            run = load_artifact(tmp_path / name / artifact["path"])
            for specs in (run.inputs, artifact["inputs"]):
                assert [_name(spec) for spec in specs] == inputs
            for specs in (run.outputs, artifact["outputs"]):
                assert [_name(spec) for spec in specs] == outputs


def _name(spec):
    return spec["name"] if isinstance(spec, dict) else spec.name


def test_static_batch(tmp_path):
    report = export_model(small_model(), tmp_path / "out", batch_size=4)
    images = random_images((6, 12, 12, 3))
    results = []
    for artifact in report["artifacts"]:
        run = load_artifact(tmp_path / "out" / artifact["path"])
        assert [spec.shape[0] for spec in run.inputs] == [4]
        assert [spec.shape[0] for spec in run.outputs] == [4]
        assert artifact["outputs"][0]["shape"] == [4, 4]
        results.append(run(images)["kind"])  # cut and filled up to 4 and 4
        assert results[-1].shape == (6, 4)
    np.testing.assert_allclose(results[0], results[2], atol=1e-6)


def test_own_samples_are_the_probes(saved, tmp_path):
    images = random_images((4, 12, 12, 3))
    export_model(saved, tmp_path / "out", samples=images, formats=["onnx"])
    with np.load(tmp_path / "out/probes.npz") as probes:
        np.testing.assert_array_equal(probes["input/0/image"], images[:1])
        np.testing.assert_array_equal(probes["input/1/image"], images[1:4])
        assert len(probes["input/2/image"]) == 7


def test_other_backends_export_in_a_process_of_their_own(tmp_path):
    keras.utils.set_random_seed(0)
    images = random_images((30, 12, 12, 3))
    request = ExportOptions(
        tmp_path / "out",
        formats="onnx",
        samples=[(image, 0) for image in images],
        opset=17,
        quantize="float16",
        min_agreement=0,
        max_accuracy_drop=1,
    )
    steps = []
    report = elsewhere.export_in_tensorflow(small_model, request, steps.append)
    assert steps[0] == "Model  small, 502 parameters"
    assert "Prove  onnx float16" in steps
    assert report["model"]["keras_path"] is None
    assert read_report(tmp_path / "out") == report
    assert [a["quantization"] for a in report["artifacts"]] == [None, "float16"]
    assert report["evaluation"]["labelled"]
    assert report["evaluation"]["min_agreement"] == 0
    assert all(result.passed for result in verify(tmp_path / "out"))
    with pytest.raises(RequestError, match="exists already"):
        elsewhere.export_in_tensorflow(small_model(), request, steps.append)


def test_errors_in_another_process_are_those_of_this_one(tmp_path):
    def export(model):
        request = ExportOptions(tmp_path / "out", formats="tflite")
        elsewhere.export_in_tensorflow(model, request, lambda step: None)

    volume = keras.Input((4, 4, 4, 2))
    x = layers.AveragePooling3D(2, name="shrink")(volume)
    with pytest.raises(ConversionError, match="'shrink'"):
        export(randomize(keras.Model(volume, layers.Conv3D(2, 1)(x))))
    dead = small_model()
    for weight in dead.weights:
        weight.assign(np.zeros(weight.shape))
    with pytest.raises(ArtifactError, match="hardly depends"):
        export(dead)
    assert not list(tmp_path.iterdir())


def test_fewer_bits_without_samples(tmp_path, monkeypatch):
    options = {
        "formats": ("tflite", "onnx"),
        "quantize": ("float16", "dynamic"),
    }
    report = export_model(small_model(), tmp_path / "out", **options)
    assert report["evaluation"] is None
    assert len(report["artifacts"]) == 6
    assert all(artifact["measured"] == [] for artifact in report["artifacts"])
    assert all(result.passed for result in verify(tmp_path / "out"))
    monkeypatch.setattr(pipeline, "NOISE", 1e-9)
    with pytest.raises(ArtifactError, match="float16: output .* differs by"):
        export_model(
            small_model(),
            tmp_path / "none",
            formats="onnx",
            quantize="float16",
        )


def test_versions_of_packages_under_other_names(monkeypatch):
    owners = {"onnxruntime": ["onnxruntime-gpu"], "keras": ["other", "keras"]}
    monkeypatch.setattr(
        importlib.metadata, "packages_distributions", lambda: owners
    )
    monkeypatch.setattr(importlib.metadata, "version", "{} 1".format)
    found = versions()
    assert found["onnxruntime"] == "onnxruntime-gpu 1"
    assert found["keras"] == "keras 1"
    assert found["tensorflow"] is None


EXPORT_BYTES = """
import hashlib, sys
from keras_inception_export import export_model
from tests.helpers.format_cases import small_model
model = small_model()
for folder in sys.argv[1:]:
    export_model(model, folder, formats=("tflite", "onnx"))
    for file in ("model.tflite", "model.onnx"):
        content = open(f"{folder}/{file}", "rb").read()
        print(file, hashlib.sha256(content).hexdigest())
"""


def test_bytes_are_the_same_every_time(tmp_path):
    """From two exports in one process, and from another process."""
    first, second, third = (tmp_path / str(number) for number in range(3))
    hashes = []
    for seed, folders in (("0", (first, second)), ("1", (third,))):
        done = subprocess.run(
            [sys.executable, "-c", EXPORT_BYTES, *folders],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
        )
        hashes += re.findall("^model.*", done.stdout, re.MULTILINE)
    assert len(hashes) == 6 and len(set(hashes)) == 2
