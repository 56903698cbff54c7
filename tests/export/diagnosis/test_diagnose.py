"""`diagnose`: which layer of an artifact is the first to go wrong."""

import json
import shutil
import subprocess
import sys

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import interpreter as litert
from keras import layers
from onnx import numpy_helper

from keras_inception_export import (
    ArtifactError,
    diagnose,
    export_model,
    verify,
)
from keras_inception_export.bundle import bundle as bundles
from keras_inception_export.cli import main
from keras_inception_export.diagnosis.diagnose import (
    examine,
    load_layer_references,
)
from keras_inception_export.diagnosis.layer_reference import LayerReferences
from keras_inception_export.formats.onnx import runtime as onnx_format
from keras_inception_layers import (
    ConvBN,
    InceptionV1Block,
    InceptionV3Block,
)
from tests.export.verification.test_sabotage import renew_hash, replace_in
from tests.helpers.numeric import random_images, randomize

ARTIFACTS = (
    "model.onnx",
    "model.tflite",
    "model.int8.onnx",
    "model.int8.tflite",
)
LAYERS = ("conv", "plain", "inception_2/branch_3/conv_0")
"""The first, a middle and the last convolution."""


BRANCHES = [
    f"inception_{block}/branch_{branch}/conv_{number}"
    for block, lengths in ((1, (1, 2, 2, 1)), (2, (1, 3, 3, 1)))
    for branch, length in enumerate(lengths)
    for number in range(length)
]


@pytest.fixture(scope="module")
def small_hybrid():
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 2), name="image")
    x = ConvBN(8, 3, name="conv")(image)
    x = layers.MaxPooling2D(name="pool")(x)
    x = InceptionV1Block(((8,), (8, 8), (4, 8), (8,)), name="inception_1")(x)
    x = layers.Conv2D(24, 3, padding="same", name="plain")(x)
    x = layers.ReLU(name="relu")(x)
    x = InceptionV3Block(((8,), (8, 8), (4, 8), (8,)), name="inception_2")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(5, name="dense")(x)
    return randomize(keras.Model(image, x, name="small"))


@pytest.fixture(scope="module")
def quantized(small_hybrid, tmp_path_factory):
    """A bundle with int8 artifacts; not to be changed."""
    folder = tmp_path_factory.mktemp("diagnosed") / "small"
    export_model(
        small_hybrid,
        folder,
        formats=["tflite", "onnx"],
        samples=random_images((60, 16, 16, 2)),
        quantize="int8",
        calibration_samples=30,
        min_agreement=0,
    )
    return folder


@pytest.fixture
def bundle(quantized, tmp_path):
    """A copy of that bundle, to be changed."""
    return shutil.copytree(quantized, tmp_path / "bundle")


def by_path(diagnoses):
    return {diagnosis.path: diagnosis for diagnosis in diagnoses}


def kernel_of(layer, path):
    """Return a convolution's kernel as an artifact holds it."""
    names = (f"{layer}/kernel", f"{layer}/conv/kernel")
    if path.suffix == ".onnx":
        (found,) = [
            numpy_helper.to_array(tensor)
            for tensor in onnx.load(path).graph.initializer
            if len(tensor.dims) == 4 and tensor.name.startswith(names)
        ]
        return found
    interpreter = litert.Interpreter(str(path))
    interpreter.allocate_tensors()
    (found,) = [
        interpreter.get_tensor(details["index"]).copy()
        for details in interpreter.get_tensor_details()
        if details["name"] in names
    ]
    return found


def alter_one_weight(bundle, path, layer):
    """Change the largest weight of the layer's most active channel."""
    old = kernel_of(layer, bundle / path)
    layer_references = LayerReferences.load(bundle / "layer_references.npz")
    (mark,) = [mark for mark in layer_references.layers if mark.layer == layer]
    channel = mark.values[len(mark.positions) :].argmax()
    new = old.copy()
    weights = new[channel].reshape(-1)
    largest = np.abs(weights.astype("float64")).argmax()
    weights[largest] = weights[largest] / -2
    replace_in(bundle / path, old, new)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("path", ARTIFACTS)
def test_one_altered_weight(bundle, path, layer):
    alter_one_weight(bundle, path, layer)
    renew_hash(bundle, path)  # the numbers tell by themselves
    found = by_path(diagnose(bundle))
    assert found.pop(path).first.name in (layer, f"{layer} + relu")
    assert not any(diagnosis.first for diagnosis in found.values())


def test_unaltered_bundle(quantized):
    found = by_path(diagnose(quantized))
    assert not any(diagnosis.first for diagnosis in found.values())
    names = {path: [x.name for x in d.layers] for path, d in found.items()}
    assert names["model.onnx"][:2] == ["conv", "pool"]
    assert names["model.onnx"][-1] == "dense"
    assert set(BRANCHES) <= set(names["model.onnx"])
    merged = [n for n in names["model.onnx"] if n not in ("plain", "relu")]
    for path in ("model.tflite", "model.int8.onnx", "model.int8.tflite"):
        assert [n for n in names[path] if n in merged] == merged
        assert set(names[path]) - set(merged) == {"plain + relu"}


def test_a_saved_model_stays_closed(quantized):
    report = json.loads((quantized / "report.json").read_text())
    artifact = {"format": "saved_model", "path": "saved_model"}
    closed = examine(
        quantized, artifact, *load_layer_references(quantized, report)
    )
    assert "one function" in closed.reason and closed.passed


@pytest.mark.parametrize("path", ("model.int8.onnx", "model.int8.tflite"))
def test_other_kernels_are_no_divergence(bundle, path, monkeypatch):
    def unfused(source, options, **kwargs):
        level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = level
        return session(source, options, **kwargs)

    def without_xnnpack(**kwargs):
        kind = litert.OpResolverType.BUILTIN_REF
        return interpreter(experimental_op_resolver_type=kind, **kwargs)

    session, interpreter = onnxruntime.InferenceSession, litert.Interpreter
    monkeypatch.setattr(onnxruntime, "InferenceSession", unfused)
    monkeypatch.setattr(litert, "Interpreter", without_xnnpack)
    other = by_path(diagnose(bundle))[path]
    assert other.first is None
    assert path.endswith("onnx") or any(layer.moved for layer in other.layers)


@pytest.mark.parametrize("path", ("model.int8.onnx", "model.int8.tflite"))
def test_never_published(bundle, path):
    """Where nothing is recorded, the signal to noise tells."""
    layer = "inception_1/branch_1/conv_1"
    old = kernel_of(layer, bundle / path)
    replace_in(bundle / path, old, (old // 16) * 8)
    report = json.loads((bundle / "report.json").read_text())
    layer_references, feeds = load_layer_references(bundle, report)
    artifact = {
        "format": path.rpartition(".")[2],
        "path": path,
        "quantization": "int8",
    }
    unknown = LayerReferences(layer_references.layers)
    assert examine(bundle, artifact, unknown, feeds).first.layer == layer


def test_verify_names_the_layer(bundle):
    alter_one_weight(bundle, "model.onnx", LAYERS[1])
    result = next(
        result for result in verify(bundle) if result.format == "onnx"
    )
    assert 'first layer that diverges is "plain" (off' in result.findings[-1]


def test_verify_finds_without_landmarks_what_it_finds_with_them(bundle):
    alter_one_weight(bundle, "model.onnx", LAYERS[1])

    def findings():
        return {result.name: result.findings for result in verify(bundle)}

    with_landmarks = findings()
    (bundle / "layer_references.npz").write_bytes(b"harmed")
    *rest, reason = findings()["onnx"]
    assert tuple(rest) == with_landmarks["onnx"][:-1] != ()
    assert (
        "diverges cannot be told: " in reason
        and "layer_references.npz" in reason
    )
    assert {name for name, found in findings().items() if found} == {"onnx"}


def test_export_names_the_layer(small_hybrid, tmp_path, monkeypatch):
    def write(inference_model, path, **kwargs):
        layer = inference_model.model.get_layer("inception_2").branches[1][1]
        kernel = np.array(layer.conv.kernel)
        layer.conv.kernel.assign(kernel * 1.01)
        original(inference_model, path, **kwargs)
        layer.conv.kernel.assign(kernel)

    original = onnx_format.write
    monkeypatch.setattr(onnx_format, "write", write)
    with pytest.raises(ArtifactError, match='"inception_2/branch_1/conv_1"'):
        export_model(small_hybrid, tmp_path / "out", formats=["onnx"])


def test_older_bundle(bundle, capfd):
    report = json.loads((bundle / "report.json").read_text())
    del report["layer_references"]
    bundles.write_report(bundle, report)
    (bundle / "layer_references.npz").unlink()
    assert main(["diagnose", str(bundle)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "earlier version, without layer references" in line
    assert verify(bundle)[0].passed


@pytest.mark.parametrize("harm", (b"", b"PK not a zip"))
def test_harmed_landmarks(bundle, harm):
    (bundle / "layer_references.npz").write_bytes(harm)
    with pytest.raises(ArtifactError, match="layer_references.npz"):
        diagnose(bundle)
    with pytest.raises(ArtifactError, match="layer references.npz is damaged"):
        LayerReferences.load(bundle / "layer_references.npz")


def test_damaged_artifact(bundle, capfd):
    for path in ("model.onnx", "model.tflite"):
        content = (bundle / path).read_bytes()
        (bundle / path).write_bytes(content[: len(content) // 2])
    assert main(["diagnose", str(bundle)]) == 1
    shown = capfd.readouterr().out
    assert "✗  model.onnx cannot be examined" in shown
    assert "✗  model.tflite cannot be examined" in shown


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
    found = {
        artifact["path"]: artifact["first_divergence"]
        for artifact in json.loads(capfd.readouterr().out)["artifacts"]
    }
    assert found.pop("model.int8.onnx") == LAYERS[2]
    assert set(found.values()) == {None}


def test_the_runtime_is_enough(quantized):
    code = (
        "import sys; from keras_inception_export.cli.main import main\n"
        f"code = main(['diagnose', {str(quantized)!r}])\n"
        "print(code, {'keras', 'tensorflow', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "0 set()"
