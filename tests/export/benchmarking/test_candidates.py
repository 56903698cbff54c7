"""What is measured, from reports that are made up."""

import pytest

from keras_inception_export.benchmarking.candidates import (
    artifact_candidate,
    keras_candidate,
)
from keras_inception_export.bundle.bundle import sha256_of
from keras_inception_export.errors import ArtifactError, RequestError

PARITY = [
    {"max_error": 1e-7, "keras_max_error": 3e-7},
    {"max_error": 2e-7, "keras_max_error": 1e-7},
]
MEASURED = [
    {"max_error": 0.02, "agreement": 0.99, "accuracy": 0.875},
    {"max_error": 0.01, "agreement": 0.97, "accuracy": None},
]


@pytest.fixture
def report(tmp_path):
    """The report of a bundle of two artifacts; `tmp_path` has their files."""
    artifacts = []
    for name, scheme in (("model.tflite", None), ("model.int8.onnx", "int8")):
        path = tmp_path / name
        path.write_text(name)
        artifacts.append(
            {
                "format": path.suffix[1:],
                "path": name,
                "sha256": sha256_of(path),
                "bytes": 7,
                "parity": PARITY,
                "quantization": scheme,
                "measured": MEASURED if scheme else [],
            }
        )
    return {
        "model": {"keras_path": None},
        "artifacts": artifacts,
        "evaluation": {"keras_accuracy": {"kind": 0.9, "other": None}},
    }


def figures(candidate):
    return [candidate.facts[key] for key in ("error", "agreement", "accuracy")]


def test_artifacts_with_the_figures_of_their_export(report, tmp_path):
    plain, int8 = (artifact_candidate(tmp_path, x) for x in report["artifacts"])
    assert (plain.name, plain.format) == ("tflite", "tflite")
    assert figures(plain) == [2e-7, None, None]
    assert (int8.name, int8.format) == ("onnx int8", "onnx")
    assert int8.path == tmp_path / "model.int8.onnx"
    assert figures(int8) == [0.02, 0.97, 0.875]
    assert int8.facts["quantization"] == "int8" and int8.facts["bytes"] == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_text("!"), "its hash differs"),
        (lambda path: path.unlink(), "is missing; export the model again"),
    ],
)
def test_a_changed_artifact_is_refused(change, message, report, tmp_path):
    change(tmp_path / "model.tflite")
    with pytest.raises(ArtifactError, match=message):
        artifact_candidate(tmp_path, report["artifacts"][0])


@pytest.mark.parametrize("given", [True, False])
def test_the_keras_model(given, report, tmp_path):
    file = tmp_path / "model.keras"
    file.write_text("12345")
    if not given:
        report["model"]["keras_path"] = str(file)
    keras = keras_candidate(report, file if given else None)
    assert (keras.name, keras.path, keras.format) == ("Keras", file, None)
    assert figures(keras) == [3e-7, None, 0.9] and keras.facts["bytes"] == 5
    assert keras.required is given


def test_without_the_keras_model(report):
    assert keras_candidate(report, None).missing == (
        "made from a live model; name its file with --keras FILE"
    )
    report["model"]["keras_path"] = "gone.keras"
    assert keras_candidate(report, None).missing == (
        "gone.keras is not there; name its file with --keras FILE"
    )
    with pytest.raises(RequestError, match="none.keras does not exist"):
        keras_candidate(report, "none.keras")
