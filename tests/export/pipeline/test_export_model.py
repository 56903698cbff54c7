"""export_model, from any Keras model to a published bundle."""

import json
import logging
import re

import keras
import numpy as np
import pytest
from keras import layers

import keras_inception_layers as plugin
from keras_inception_export import (
    ArtifactError,
    diagnose,
    export_model,
    load_artifact,
    verify,
)
from keras_inception_export.bundle.bundle import REPORT
from keras_inception_export.bundle.schema import Artifact, Report
from keras_inception_export.formats.registry import DEFAULT_FORMATS, FORMATS
from keras_inception_export.pipeline import artifacts
from keras_inception_export.verification.probes import Probes
from tests.helpers.format_cases import (
    CASES,
    inference_model_of,
    named_by_keys,
    small_model,
)
from tests.helpers.layer_cases import CASES as LAYER_CASES
from tests.helpers.layer_cases import KINDS
from tests.helpers.numeric import random_images, randomize, settle_statistics

KINDS_OF_INPUTS = (
    "any_order",
    "dictionaries",
    "any_size",
    "recurrent",
    "embedding",
)
"""Models whose probes differ; the tests of each format convert the others."""

PATHS = [FORMATS[name].file_name for name in DEFAULT_FORMATS]


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


@pytest.mark.parametrize("case", KINDS_OF_INPUTS)
def test_every_kind_of_inputs_is_verified(case, tmp_path):
    model = inference_model_of(CASES[case]).model
    report = export_model(model, tmp_path / "out")
    assert [a["passed"] for a in report["artifacts"]] == [True] * len(PATHS)
    assert all(result.passed for result in verify(tmp_path / "out"))
    assert all(d.passed for d in diagnose(tmp_path / "out"))


# One case per class, and those with an operator of their own.
OTHERS = [
    name
    for name in LAYER_CASES.keys() - KINDS
    if "," not in name or name.endswith((", PReLU", ", border counted"))
]


@pytest.mark.parametrize(
    "names",
    (
        pytest.param(KINDS, id="kinds"),
        pytest.param(sorted(OTHERS), id="others", marks=pytest.mark.slow),
    ),
)
def test_every_registered_layer_is_verified(names, tmp_path):
    """Each layer has its own output, all in one conversion.

    An output of a side head alone would be removed.
    """
    image = keras.Input((27, 30, 3), name="image")
    mean = layers.GlobalAveragePooling2D()(image)
    outputs = {}
    for name in names:
        output = LAYER_CASES[name].make()(image)
        parts = [output] if len(output.shape) == 4 else [output, mean]
        key = re.sub(r"\W+", "_", name)
        outputs[key] = layers.Identity()(keras.ops.concatenate(parts, -1))
    model = randomize(keras.Model(image, outputs))
    report = export_model(model, tmp_path / "out")
    assert len(report["artifacts"]) == len(DEFAULT_FORMATS)
    for artifact in report["artifacts"]:
        passed = [x["output"] for x in artifact["parity"] if x["passed"]]
        assert passed == list(outputs)


@pytest.mark.parametrize(
    "make", (subclassed, preprocessing), ids=lambda make: make.__name__
)
def test_more_kinds_of_model(make, tmp_path):
    report = export_model(make(), tmp_path / "out")
    for artifact in report["artifacts"]:
        assert {x["dtype"] for x in artifact["outputs"]} == {"float32"}


@pytest.mark.slow
def test_a_network_of_keras_in_mixed_precision(tmp_path):
    """Small models and networks of ours are in every format already."""
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.applications.MobileNet(
        input_shape=(32, 32, 3),
        weights=None,
        classes=9,
        classifier_activation=None,
    )
    settle_statistics(model, random_images((8, 32, 32, 3)))
    assert export_model(model, tmp_path / "out", formats="onnx")["passed"]
    assert all(d.passed for d in diagnose(tmp_path / "out"))


def test_report(saved, published):
    report = json.loads((published / REPORT).read_text())
    assert list(report) == list(Report.model_fields)
    assert report["artifacts"][0].keys() == Artifact.model_fields.keys()
    assert [a["path"] for a in report["artifacts"]] == PATHS
    assert report["passed"] and report["evaluation"] is None
    assert report["model"] == {
        "name": "small",
        "parameters": keras.models.load_model(saved).count_params(),
        "keras_path": str(saved),
        "backend": "tensorflow",
    }
    assert {path.name for path in published.iterdir()} == {
        *("layer_references.npz", "probes.npz", REPORT),
        *PATHS,
    }
    assert [path.name for path in published.parent.iterdir()] == ["small"]


def test_one_format_with_the_users_samples_as_probes(saved, tmp_path):
    images, out = random_images((4, 12, 12, 3)), tmp_path / "out"
    report = export_model(saved, out, samples=images, formats=["onnx"])
    assert [a["format"] for a in report["artifacts"]] == ["onnx"]
    assert json.loads((out / REPORT).read_text()) == report
    assert not (out / "saved_model").exists()
    probes = Probes.load(out / "probes.npz").only({"samples"})
    feeds = [feed["image"] for feed in probes.feeds]
    np.testing.assert_array_equal(feeds[0], images[:1])
    np.testing.assert_array_equal(feeds[1], images[1:4])
    assert len(feeds[2]) == 7


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_names_and_order_in_every_format(tmp_path):
    report = export_model(randomize(named_by_keys()), tmp_path / "out")
    for artifact in report["artifacts"]:
        run = load_artifact(tmp_path / "out" / artifact["path"])
        assert [spec.name for spec in run.inputs] == ["z", "b"]
        assert [spec.name for spec in run.outputs] == ["y", "a"]
        assert [spec["name"] for spec in artifact["inputs"]] == ["z", "b"]
        assert [spec["name"] for spec in artifact["outputs"]] == ["y", "a"]


def test_static_batch_of_a_model_in_mixed_precision(tmp_path):
    model = small_model(dtype="mixed_float16")
    report = export_model(model, tmp_path / "out", batch_size=4)
    images = random_images((6, 12, 12, 3))
    results = []
    for artifact in report["artifacts"]:
        run = load_artifact(tmp_path / "out" / artifact["path"])
        (image,), (kind,) = run.inputs, run.outputs
        assert (image.shape[0], kind.shape, kind.dtype) == (
            4,
            (4, 4),
            "float32",
        )
        assert artifact["outputs"][0]["shape"] == [4, 4]
        results.append(run(images)["kind"])  # split into 4 and 2, padded to 4
        assert results[-1].shape == (6, 4)
    np.testing.assert_allclose(results[0], results[-1], atol=1e-6)


STEPS = [
    "Model  small, 502 parameters",
    'Preprocessing  unknown for "image"; give --preprocess, or predict will '
    "ask for it",
    "Reference  the model in float64",
    "Write  onnx",
    "Coverage  25 of 25 channels (100 %) in 7 layers",
    "Verify  onnx",
]


def test_progress_is_logged(saved, tmp_path, caplog):
    """A user of the library can route the records, and pass a function."""
    logger = logging.getLogger("keras_inception_export")
    lines, before = [], (list(logger.handlers), logger.level)
    with caplog.at_level(logging.INFO, logger.name):
        export_model(
            saved, tmp_path / "out", formats="onnx", progress=lines.append
        )
    records = [x for x in caplog.records if x.name == logger.name]
    assert [record.getMessage() for record in records] == lines == STEPS
    assert {record.levelname for record in records} == {"INFO"}
    assert (logger.handlers, logger.level) == before


def test_quantized_without_samples(tmp_path, monkeypatch):
    report = export_model(
        small_model(),
        tmp_path / "out",
        formats=("tflite", "onnx"),
        quantize=("float16", "dynamic"),
    )
    assert report["evaluation"] is None
    assert len(report["artifacts"]) == 6
    assert all(artifact["measured"] == [] for artifact in report["artifacts"])
    assert all(result.passed for result in verify(tmp_path / "out"))
    monkeypatch.setattr(artifacts, "NOISE", 1e-9)
    vector = keras.Input((4,))
    model = keras.Model(vector, layers.Dense(3)(vector))
    with pytest.raises(ArtifactError, match="float16: output .* differs by"):
        export_model(
            model, tmp_path / "none", formats="onnx", quantize="float16"
        )
