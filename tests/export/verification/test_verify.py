"""`verify` finds an altered artifact by its values, not only by its hash."""

import functools
import json
import operator
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnx import numpy_helper

from keras_inception_export import (
    ArtifactError,
    export_model,
    load_artifact,
    verify,
)
from keras_inception_export.bundle import artifact as artifact_module
from keras_inception_export.bundle import bundle as bundle_module
from keras_inception_export.bundle.bundle import sha256_of
from keras_inception_export.bundle.info import describe
from keras_inception_export.cli import main
from keras_inception_export.diagnosis.diagnose import load_layer_references
from keras_inception_export.verification.parity import OutputParity
from keras_inception_export.verification.verify import (
    VerificationResult,
    with_diagnosis,
)
from keras_inception_layers import fold_batch_norm
from tests.helpers.bundles import (
    renew_hash,
    replace_in,
    small_bundle,
    small_hybrid,
)
from tests.helpers.reports import change_report, keep_artifacts

PATHS = ("model.onnx", "model.tflite")


@pytest.fixture
def bundle(tmp_path):
    """A copy of the small bundle, to be altered."""
    return shutil.copytree(small_bundle(), tmp_path / "bundle")


@pytest.fixture(scope="module")
def biases():
    """The biases of the model without batch normalization, in order."""
    keras.utils.set_random_seed(0)
    return [
        np.array(weight)
        for weight in fold_batch_norm(small_hybrid()).weights
        if weight.name == "bias" and len(weight.shape) == 1
    ]


def findings_of(bundle, path):
    """Verify one artifact, as if it had been published as it is now."""
    keep_artifacts(bundle, path)
    renew_hash(bundle, path)
    (result,) = verify(bundle)
    return result.findings


def test_unaltered_bundle_passes():
    results = verify(small_bundle())
    assert [result.name for result in results] == [
        "saved_model",
        "tflite",
        "onnx",
        "tflite int8",
        "onnx int8",
    ]
    assert all(result.passed for result in results)


def test_what_cannot_be_called_is_not_verified(bundle, monkeypatch):
    monkeypatch.setattr(artifact_module, "MAX_INPUT", 100)
    assert all(
        "has an input" in result.findings[0] for result in verify(bundle)
    )


@pytest.mark.parametrize("index", (0, 7, -2), ids=("first", "middle", "last"))
@pytest.mark.parametrize("path", PATHS)
def test_one_bias(bundle, biases, path, index):
    old = biases[index]
    new = old.copy()
    new[np.abs(old).argmax()] *= np.float32(1.1)
    replace_in(bundle / path, old, new)
    findings = findings_of(bundle, path)
    assert any('output "scores" differs by' in f for f in findings)


@pytest.mark.parametrize(
    ("regime", "words"), (("large", "large inputs show"), ("expected", None))
)
def test_what_only_unusual_inputs_show(bundle, regime, words):
    """Layers are compared on usual ones, where nothing diverges here."""
    report = bundle_module.read_report(bundle)
    (artifact,) = [x for x in report["artifacts"] if x["path"] == "model.onnx"]
    record = OutputParity("scores", *(1.0,) * 4, False, regime, 0)
    result = VerificationResult("onnx", None, (record,), ("differs",))
    loaded = load_layer_references(bundle, report)
    found = with_diagnosis(result, bundle, artifact, *loaded).findings
    assert found[0] == "differs" and len(found) == 1 + bool(words)
    assert (words or "differs") in found[-1]


@pytest.mark.parametrize("path", PATHS)
def test_nan_in_a_weight(bundle, biases, path):
    new = biases[7].copy()
    new[0] = np.nan
    replace_in(bundle / path, biases[7], new)
    # A runtime's relu may turn NaN into 0; then the values differ.
    assert any(
        "NaN" in f or "differs by" in f for f in findings_of(bundle, path)
    )


def alter_graph(bundle, alter):
    model = onnx.load(bundle / "model.onnx")
    alter(model.graph)
    onnx.save(model, bundle / "model.onnx")
    return findings_of(bundle, "model.onnx")


def rename(graph, names):
    for node in graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]


def test_nan_in_an_output(bundle):
    def alter(graph):
        nan = numpy_helper.from_array(np.float32([np.nan]), "nan")
        graph.initializer.append(nan)
        rename(graph, {"scores": "finite"})
        graph.node.append(
            onnx.helper.make_node("Add", ["finite", "nan"], ["scores"])
        )

    wrong, layer = alter_graph(bundle, alter)
    assert wrong == 'output "scores" holds NaN or infinite values'
    assert 'diverges is "dense" (differs by inf' in layer


def test_scores_beside_boxes_on_another_axis(tmp_path):
    """A detector has them so: (batch, 84, 8400), with boxes in pixels."""
    detector = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(3 * 20),
            keras.layers.Reshape((3, 20)),
            keras.layers.Rescaling([[1e5], [1e5], [1.0]]),
        ]
    )
    bundle = tmp_path / "bundle"
    report = export_model(detector, bundle, formats=["onnx"])
    old, new = np.float32([[1e5, 1e5, 1.0], [1e5, 1e5, 0.99]])
    replace_in(bundle / "model.onnx", old, new)
    (finding, *_) = findings_of(bundle, "model.onnx")
    assert "(column 2 of axis 1," in finding
    # Earlier versions compared the columns of the last axis only.
    for artifact in report["artifacts"]:
        for record in artifact["parity"]:
            del record["axis"]
    (bundle / "report.json").write_text(json.dumps(report))
    assert not findings_of(bundle, "model.onnx")


def test_swapped_outputs(bundle):
    names = {"scores": "shifted", "shifted": "scores"}
    *findings, layer = alter_graph(bundle, lambda graph: rename(graph, names))
    assert len(findings) == 2 and all("differs by" in f for f in findings)
    assert 'diverges is "dense"' in layer


def test_renamed_outputs(bundle):
    def alter(graph):
        for output, name in zip(graph.output, names[::-1], strict=True):
            output.name = name

    names = ["scores", "shifted"]
    findings = alter_graph(bundle, alter)
    assert any("has the outputs" in finding for finding in findings)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("model", "name"), "other"),
        (("versions", "keras"), "1.0"),
        (("metadata", "outputs", 0, "meaning"), "class scores"),
        (("artifacts", 0, "quantization"), "dynamic"),
    ],
)
def test_what_a_report_declares_is_in_the_artifact(bundle, keys, value):
    def change(report):
        *folders, last = keys
        functools.reduce(operator.getitem, folders, report)[last] = value

    keep_artifacts(bundle, "model.int8.onnx")
    change_report(bundle, change)
    (result,) = verify(bundle)
    assert len(result.findings) == 1 and str(value) in result.findings[0]


@pytest.mark.parametrize(
    "path", ("model.onnx", "model.tflite", "saved_model/saved_model.pb")
)
def test_truncated_file(bundle, path, capfd):
    content = (bundle / path).read_bytes()
    (bundle / path).write_bytes(content[: len(content) // 2])
    artifact = path.split("/")[0]
    keep_artifacts(bundle, artifact)
    renew_hash(bundle, artifact)
    assert main(["verify", str(bundle)]) == 1
    last = capfd.readouterr().out.splitlines()[-1]
    assert last.startswith(str(bundle)) and artifact.split(".")[-1] in last


def test_changed_hash(bundle):
    keep_artifacts(bundle, "model.tflite")
    with (bundle / "model.tflite").open("ab") as file:
        file.write(b"more")
    (result,) = verify(bundle)
    assert result.findings == (
        "is not the file that was published (its hash differs)",
    )


@pytest.mark.parametrize("use", ("verify", "predict", "info"))
def test_a_saved_model_with_another_hash_is_not_opened(
    use, bundle, monkeypatch
):
    """It is a program, parts of which run when it is loaded."""
    keep_artifacts(bundle, "saved_model")
    (bundle / "saved_model" / "assets").mkdir(exist_ok=True)
    (bundle / "saved_model" / "assets" / "more").write_text("")
    monkeypatch.setattr(tf.saved_model, "load", lambda _: 1 / 0)
    message = "is not the file that was published"
    if use == "verify":
        (result,) = verify(bundle)
        assert message in result.findings[0] and not result.parity
    else:
        with pytest.raises(ArtifactError, match=message):
            {"predict": load_artifact, "info": describe}[use](
                bundle / "saved_model"
            )


def test_info_does_not_load_a_saved_model(bundle, monkeypatch):
    alone = shutil.move(bundle / "saved_model", bundle.parent / "alone")
    expected = load_artifact(alone)
    monkeypatch.setattr(tf.saved_model, "load", lambda _: 1 / 0)
    facts = describe(alone)
    for role in ("inputs", "outputs"):
        specs = getattr(expected, role)
        assert facts[role] == [spec.as_json() for spec in specs]
    (Path(alone) / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match="not a complete SavedModel"):
        describe(alone)


def test_the_hash_of_the_report_authenticates_a_bundle(bundle, capfd):
    keep_artifacts(bundle, "model.onnx")
    published = sha256_of(bundle / "report.json")
    (result,) = verify(bundle, sha256=published.upper())
    assert result.passed
    assert main(["verify", str(bundle), "--sha256", published]) == 0
    renew_hash(bundle, "model.onnx")
    with (bundle / "report.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ArtifactError, match="nothing was opened"):
        verify(bundle, sha256=published)


def test_a_bundle_that_replaces_another_one_is_verified(bundle, monkeypatch):
    keep_artifacts(bundle, "model.onnx")
    other = shutil.copytree(bundle, bundle.with_name("other"))
    (bundle / "model.onnx").write_bytes(b"old")
    module = sys.modules["keras_inception_export.verification.verify"]
    read, calls = module.bundle.read_report, []

    def replaced_meanwhile(*arguments):
        report = read(*arguments)
        calls.append(report)
        if len(calls) == 1:
            bundle.rename(bundle.with_name("old"))
            other.rename(bundle)
        return report

    monkeypatch.setattr(module.bundle, "read_report", replaced_meanwhile)
    (result,) = verify(bundle)
    assert result.passed and len(calls) == 2


def test_missing_artifact(bundle):
    keep_artifacts(bundle, "model.onnx")
    (bundle / "model.onnx").unlink()
    (result,) = verify(bundle)
    assert "is missing" in result.findings[0]


@pytest.mark.parametrize("content", (b"", b"PK not a zip"))
def test_damaged_probes(bundle, content):
    (bundle / "probes.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match="probes.npz"):
        verify(bundle)
