"""`diagnose` on a bundle: the first layer of an artifact that diverges."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
from ai_edge_litert import interpreter as litert

from keras_inception_export import (
    ArtifactError,
    diagnose,
    export_model,
    verify,
)
from keras_inception_export.bundle import bundle as bundles
from keras_inception_export.cli import main
from keras_inception_export.diagnosis import diagnose as diagnosing
from keras_inception_export.diagnosis.capture import capture_layer_references
from keras_inception_export.diagnosis.diagnose import (
    examine,
    load_layer_references,
    record_artifact,
)
from keras_inception_export.diagnosis.layer_reference import (
    LayerReferences,
    TensorLocation,
)
from keras_inception_export.formats.onnx import export as onnx_export
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.model.inference_model import to_inference_model
from tests.helpers.bundles import (
    BRANCHES,
    kernel_of,
    renew_hash,
    replace_in,
    small_bundle,
)
from tests.helpers.documents import parse_document
from tests.helpers.format_cases import small_model
from tests.helpers.references import reference_of
from tests.helpers.reports import keep_artifacts

ARTIFACTS = (
    "model.onnx",
    "model.tflite",
    "model.int8.onnx",
    "model.int8.tflite",
)
LAYERS = ("conv", "plain", "inception_2/branch_3_conv_0")
"""The first, a middle and the last convolution."""


@pytest.fixture
def bundle(tmp_path):
    """A copy of the small bundle, to be altered."""
    return shutil.copytree(small_bundle(), tmp_path / "bundle")


def by_path(diagnoses):
    return {diagnosis.path: diagnosis for diagnosis in diagnoses}


def alter_one_weight(bundle, path, layer):
    """Change the largest weight of the layer's most active channel."""
    old = kernel_of(layer, bundle / path)
    references = LayerReferences.load(bundle / "layer_references.npz").layers
    (reference,) = [item for item in references if item.layer == layer]
    channel = reference.values[len(reference.positions) :].argmax()
    new = old.copy()
    weights = new[channel].reshape(-1)
    largest = np.abs(weights.astype("float64")).argmax()
    weights[largest] = weights[largest] / -2
    replace_in(bundle / path, old, new)


@pytest.mark.parametrize("shift", range(len(LAYERS)))
def test_one_altered_weight(bundle, shift):
    """Of another layer in each artifact, and of each layer in turn."""
    altered = dict(zip(ARTIFACTS, (LAYERS * 2)[shift:], strict=False))
    for path, layer in altered.items():
        alter_one_weight(bundle, path, layer)
        renew_hash(bundle, path)  # only the values differ then
    found = by_path(diagnose(bundle))
    assert found.pop("saved_model").first is None
    assert found.keys() == altered.keys()
    for path, layer in altered.items():
        assert found[path].first.name in (layer, f"{layer} + relu")


def test_unaltered_bundle():
    found = by_path(diagnose(small_bundle()))
    assert not any(diagnosis.first for diagnosis in found.values())
    saved_model = found["saved_model"]
    assert "does not show the outputs of layers" in saved_model.reason
    assert saved_model.passed and not saved_model.layers
    names = {path: [x.name for x in d.layers] for path, d in found.items()}
    assert names["model.onnx"][:2] == ["conv", "pool"]
    assert names["model.onnx"][-2:] == ["dense", "shifted"]
    assert set(BRANCHES) <= set(names["model.onnx"])
    separate = [n for n in names["model.onnx"] if n not in ("plain", "relu")]
    for path in ("model.tflite", "model.int8.onnx", "model.int8.tflite"):
        assert [n for n in names[path] if n in separate] == separate
        assert set(names[path]) - set(separate) == {"plain + relu"}


def test_int8_is_compared_with_the_equalized_model():
    report = json.loads((small_bundle() / "report.json").read_text())
    equalized = [
        entry["equalized_channels"]
        for entry in report["artifacts"]
        if entry["quantization"]
    ]
    assert all(equalized)
    found = by_path(diagnose(small_bundle()))
    for path in ("model.int8.onnx", "model.int8.tflite"):
        assert max(layer.error for layer in found[path].layers) < 0.1
    references, feeds = load_layer_references(small_bundle(), report)
    unequalized = LayerReferences(references.layers, references.artifacts)
    entry = report["artifacts"][-1]
    wrong = examine(small_bundle(), entry, unequalized, feeds)
    assert max(layer.error for layer in wrong.layers) > 0.1


@pytest.mark.parametrize("path", ("model.int8.onnx", "model.int8.tflite"))
def test_other_kernels_do_not_diverge(bundle, path, monkeypatch):
    def unfused(source, options, **kwargs):
        used.append("model.int8.onnx")
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
        return session(source, options, **kwargs)

    def without_xnnpack(**kwargs):
        used.append("model.int8.tflite")
        kind = litert.OpResolverType.BUILTIN_REF
        return interpreter(experimental_op_resolver_type=kind, **kwargs)

    used = []
    session, interpreter = onnxruntime.InferenceSession, litert.Interpreter
    monkeypatch.setattr(onnxruntime, "InferenceSession", unfused)
    monkeypatch.setattr(litert, "Interpreter", without_xnnpack)
    assert by_path(diagnose(bundle))[path].first is None
    assert path in used


@pytest.mark.parametrize("path", ("model.int8.onnx", "model.int8.tflite"))
def test_unpublished_artifact(bundle, path):
    """Without recorded values, the signal-to-noise ratio names the layer."""
    layer = "inception_1/branch_1_conv_1"
    old = kernel_of(layer, bundle / path)
    replace_in(bundle / path, old, (old // 16) * 8)
    report = json.loads((bundle / "report.json").read_text())
    layer_references, feeds = load_layer_references(bundle, report)
    artifact = {
        "format": path.rpartition(".")[2],
        "path": path,
        "quantization": "int8",
    }
    unpublished = LayerReferences(layer_references.equalized)
    assert examine(bundle, artifact, unpublished, feeds).first.layer == layer


def test_verify_names_the_layer(bundle):
    keep_artifacts(bundle, "model.onnx", "model.tflite")
    alter_one_weight(bundle, "model.onnx", LAYERS[1])
    renew_hash(bundle, "model.onnx")

    def findings():
        return {result.name: result.findings for result in verify(bundle)}

    *others, layer = findings()["onnx"]
    assert 'first layer that diverges is "plain" (differs by' in layer
    assert others != [] and findings()["tflite"] == ()


def test_export_names_the_layer(tmp_path, monkeypatch):
    model = small_model()
    block = next(x.name for x in model.layers if hasattr(x, "branches"))

    def write(inference_model, path, **kwargs):
        layer = inference_model.model.get_layer(block).branches[1][1]
        kernel = np.array(layer.conv.kernel)
        layer.conv.kernel.assign(kernel * 1.01)
        original(inference_model, path, **kwargs)
        layer.conv.kernel.assign(kernel)

    original = onnx_export.write
    monkeypatch.setattr(onnx_export, "write", write)
    with pytest.raises(ArtifactError, match=f'"{block}/branch_1_conv_1"'):
        export_model(model, tmp_path / "out", formats=["onnx"])


def test_bundle_of_an_earlier_version(bundle, capfd):
    keep_artifacts(bundle, "model.onnx")
    report = json.loads((bundle / "report.json").read_text())
    del report["layer_references"]
    bundles.write_report(bundle, report)
    (bundle / "layer_references.npz").unlink()
    assert main(["diagnose", str(bundle)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "earlier version, without layer references" in line
    assert verify(bundle)[0].passed


@pytest.mark.parametrize("command", (diagnose, verify))
@pytest.mark.parametrize("content", (b"", b"PK not a zip"))
def test_damaged_layer_references(bundle, content, command):
    (bundle / "layer_references.npz").write_bytes(content)
    with pytest.raises(ArtifactError, match="layer_references.npz"):
        command(bundle)


def test_damaged_artifact(bundle, capfd):
    for path in ("model.onnx", "model.tflite"):
        content = (bundle / path).read_bytes()
        (bundle / path).write_bytes(content[: len(content) // 2])
    assert main(["diagnose", str(bundle)]) == 1
    shown = capfd.readouterr().out
    assert "✗  model.onnx cannot be examined" in shown
    assert "✗  model.tflite cannot be examined" in shown


def test_an_artifact_with_another_hash_does_not_pass(bundle):
    with (bundle / "model.tflite").open("ab") as file:
        file.write(b"\0")  # which changes no value
    (bundle / "saved_model" / "more").write_text("")
    found = by_path(diagnose(bundle))
    changed = {path for path, x in found.items() if not x.passed}
    assert changed == {"model.tflite", "saved_model"}
    assert all("its hash differs" in found[path].reason for path in changed)


def test_table(bundle, capfd):
    alter_one_weight(bundle, "model.int8.onnx", LAYERS[2])
    assert main(["diagnose", str(bundle)]) == 1
    short = capfd.readouterr().out.splitlines()
    assert max(map(len, short)) <= 100
    starts = [line for line in short if line.endswith("starts here")]
    assert [line.split()[:2] for line in starts] == [["✗", LAYERS[2]]]
    assert short[-1].startswith("✓  no layer diverges: model.tflite, ")
    assert main(["diagnose", str(bundle), "--all"]) == 1
    long = capfd.readouterr().out
    assert all(long.count(f"  {branch} ") == 4 for branch in BRANCHES)
    assert main(["diagnose", str(bundle), "--json"]) == 1
    document = parse_document(capfd.readouterr().out)
    found = {
        artifact["path"]: artifact["first_divergence"]
        for artifact in document["result"]["artifacts"]
    }
    assert found.pop("model.int8.onnx") == LAYERS[2]
    assert set(found.values()) == {None}


def test_needs_no_framework():
    code = (
        "import sys; from keras_inception_export.cli.main import main\n"
        f"code = main(['diagnose', {str(small_bundle())!r}])\n"
        "print(code, {'keras', 'tensorflow', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "0 set()"


class Unfused:
    """An artifact in which a value is rounded unless all are read."""

    def names(self):
        return {"a": "a", "b/1": "b", "b/2": "b"}

    def read(self, names, feeds):
        error = 0.0 if len(names) == 3 else 0.01
        arrays = {"a": 1.0, "b/1": 2.0 + error, "b/2": 0.0}
        for _ in feeds:
            yield ((name, np.full((1, 4), arrays[name])) for name in names)


def test_the_error_at_publication_is_that_of_a_later_reading(monkeypatch):
    record = replace(FORMATS["onnx"], intermediates=lambda _: Unfused())
    monkeypatch.setitem(FORMATS, "onnx", record)
    artifact = {"format": "onnx", "path": "m", "quantization": "int8"}
    layers = [
        reference_of(np.full((1, 4), value), name)
        for name, value in (("a", 1.0), ("b", 2.0))
    ]
    references = record_artifact(
        Path(), artifact, LayerReferences(layers), [{}]
    )
    _, found = references.artifacts["m"]
    assert (found.tensor, found.error) == ("b/1", pytest.approx(0.005))
    np.testing.assert_allclose(found.values, 2.01)


def test_all_layers_before_whose_outputs_are_not_available_are_named():
    """Of a sum, those of both terms."""
    values = np.full((1, 4), 1.0)
    layers = [
        reference_of(values, "seen"),
        reference_of(values, "shortcut", source=0),
        reference_of(values, "conv", source=0),
        reference_of(values, "relu", source=2),
        reference_of(values, "add", source=3, other_sources=(1, 0)),
    ]
    found = [TensorLocation("seen", False, 0.0), None, None, None, None]
    names = diagnosing._merged_before(layers[4], layers, found)
    assert names == ("shortcut", "conv", "relu")


def test_all_layers_that_a_layer_reads_are_recorded():
    x = keras.Input((4,), name="x")
    terms = [keras.layers.Dense(2, name=name)(x) for name in "ab"]
    model = to_inference_model(keras.Model(x, keras.layers.Add()(terms)))
    feed = {"x": np.ones((1, 4), "float32")}
    *_, add = capture_layer_references(model, [feed]).layers
    assert add.sources == (0, 1)


def test_a_layer_whose_output_is_gone_is_named_with_the_next(bundle):
    """As of an operator that was replaced by another one."""
    path = bundle / "model.onnx"
    references, feeds = load_layer_references(
        bundle, bundles.read_report(bundle)
    )
    names = [x.layer for x in references.layers]
    known = references.artifacts[path.name][names.index("pool")].tensor
    other = known[:-1] + "_"
    content = path.read_bytes().replace(known.encode(), other.encode())
    path.write_bytes(content)
    entry = {"path": path.name, "format": "onnx", "sha256": None}
    found = examine(bundle, entry, references, feeds).layers
    assert "pool + inception_1/branch_0_conv_0" in [x.name for x in found]
