"""A harmed artifact is caught by its numbers, not only by its hash."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from keras_inception_export import ArtifactError, verify
from keras_inception_export.bundle.bundle import REPORT, sha256_of
from keras_inception_export.cli import main
from keras_inception_layers import fold_batch_norm

FILES = {"onnx": "model.onnx", "tflite": "model.tflite"}


def renew_hash(bundle, path):
    """Let the report hold the hash of the harmed artifact."""
    report = json.loads((bundle / REPORT).read_text())
    for artifact in report["artifacts"]:
        if artifact["path"] == path:
            artifact["sha256"] = sha256_of(bundle / path)
    (bundle / REPORT).write_text(json.dumps(report))


def findings_of(bundle, format_name):
    (result,) = [p for p in verify(bundle) if p.format == format_name]
    return result.findings


def biases(hybrid):
    """Return the biases of the folded inference model, first to last convolution."""
    return [
        np.array(weight)
        for weight in fold_batch_norm(hybrid).weights
        if weight.name == "bias"
    ]


def replace_in(path, old, new):
    """Overwrite the one place of a file that holds the array `old`."""
    content = path.read_bytes()
    assert content.count(old.tobytes()) == 1
    path.write_bytes(content.replace(old.tobytes(), new.tobytes()))


def test_untouched_bundle_holds(bundle):
    assert [result.passed for result in verify(bundle)] == [True] * 3


@pytest.mark.parametrize("place", (0, 24, 48), ids=("first", "middle", "last"))
@pytest.mark.parametrize("format_name", FILES)
def test_one_bias(bundle, hybrid, format_name, place):
    path = FILES[format_name]
    old = biases(hybrid)[place]
    new = old.copy()
    new[np.abs(old).argmax()] *= np.float32(1.1)
    replace_in(bundle / path, old, new)
    renew_hash(bundle, path)
    findings = findings_of(bundle, format_name)
    assert any('output "features" is off by' in f for f in findings)


@pytest.mark.parametrize("format_name", FILES)
def test_nan(bundle, hybrid, format_name):
    path = FILES[format_name]
    old = biases(hybrid)[7]
    new = old.copy()
    new[0] = np.nan
    replace_in(bundle / path, old, new)
    renew_hash(bundle, path)
    # A runtime's relu may turn NaN into 0; then the numbers are off.
    assert any(
        "NaN" in f or "is off by" in f for f in findings_of(bundle, format_name)
    )


def test_nan_in_an_output(bundle):
    model = onnx.load(bundle / "model.onnx")
    nan = numpy_helper.from_array(np.float32([np.nan]), "nan")
    model.graph.initializer.append(nan)
    last = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["inner" if x == last else x for x in node.output]
        node.input[:] = ["inner" if x == last else x for x in node.input]
    model.graph.node.append(
        onnx.helper.make_node("Add", ["inner", "nan"], [last])
    )
    onnx.save(model, bundle / "model.onnx")
    renew_hash(bundle, "model.onnx")
    wrong, layer = findings_of(bundle, "onnx")
    assert wrong == f'output "{last}" holds NaN or infinite values'
    assert 'diverges is "global_max_pool" (off by inf' in layer


def test_swapped_outputs(bundle):
    model = onnx.load(bundle / "model.onnx")
    first, second = (output.name for output in model.graph.output)
    swap = {first: second, second: first}
    for node in model.graph.node:
        node.output[:] = [swap.get(name, name) for name in node.output]
        node.input[:] = [swap.get(name, name) for name in node.input]
    onnx.save(model, bundle / "model.onnx")
    renew_hash(bundle, "model.onnx")
    *findings, layer = findings_of(bundle, "onnx")
    assert len(findings) == 2 and all("is off by" in f for f in findings)
    assert 'diverges is "global_max_pool"' in layer


def test_renamed_outputs(bundle):
    model = onnx.load(bundle / "model.onnx")
    model.graph.output[0].name, model.graph.output[1].name = (
        model.graph.output[1].name,
        model.graph.output[0].name,
    )
    onnx.save(model, bundle / "model.onnx")
    renew_hash(bundle, "model.onnx")
    assert any("has the outputs" in f for f in findings_of(bundle, "onnx"))


@pytest.mark.parametrize(
    "path", ("model.onnx", "model.tflite", "saved_model/saved_model.pb")
)
def test_truncated_file(bundle, path, capfd):
    content = (bundle / path).read_bytes()
    (bundle / path).write_bytes(content[: len(content) // 2])
    renew_hash(bundle, path.split("/")[0])
    assert main(["verify", str(bundle)]) == 1
    shown = capfd.readouterr().out
    assert shown.splitlines()[-1].startswith(f"{bundle} does not hold: ")


def test_changed_hash(bundle):
    with (bundle / "model.tflite").open("ab") as file:
        file.write(b"more")
    assert findings_of(bundle, "tflite") == (
        "is not the file that was published (its hash differs)",
    )


def test_missing_artifact(bundle):
    (bundle / "model.onnx").unlink()
    assert "is missing" in findings_of(bundle, "onnx")[0]


@pytest.mark.parametrize("harm", (b"", b"PK not a zip"))
def test_harmed_probes_prove_nothing(bundle, harm):
    (bundle / "probes.npz").write_bytes(harm)
    with pytest.raises(ArtifactError, match="probes.npz"):
        verify(bundle)
