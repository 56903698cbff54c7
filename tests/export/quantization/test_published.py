"""Published bundles with int8 artifacts: verified, run, and damaged."""

import json
import shutil

import numpy as np
import pytest

from keras_inception_export import ArtifactError, export_model, verify
from keras_inception_export.bundle.bundle import REPORT, sha256_of
from keras_inception_export.cli import main
from keras_inception_export.formats.registry import FORMATS
from tests.helpers.hard_models import digits, easy, plain
from tests.helpers.stored_kernels import stored_kernels

QUANTIZED = tuple(n for n, record in FORMATS.items() if record.quantizer)
PATHS = {name: FORMATS[name].artifact_name("int8") for name in QUANTIZED}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A bundle whose int8 artifacts have integer inputs and outputs.

    The tests of each format write uint8 ones too.
    """
    folder = tmp_path_factory.mktemp("published") / "digits"
    report = export_model(
        easy(plain),
        folder,
        formats=QUANTIZED,
        samples=digits(),
        quantize="int8",
        quantized_io="int8",
    )
    for artifact in report["artifacts"]:
        integers = artifact["quantization"] == "int8"
        for spec in (*artifact["inputs"], *artifact["outputs"]):
            assert spec["dtype"] == ("int8" if integers else "float32")
            assert ("scale" in spec) == integers
    return folder


@pytest.fixture
def bundle(published, tmp_path):
    """A copy of the bundle that a test may change."""
    return shutil.copytree(published, tmp_path / "bundle")


def artifacts_of(folder):
    return json.loads((folder / REPORT).read_text())["artifacts"]


def test_a_healthy_model_needs_no_float_layers(published):
    artifacts = [x for x in artifacts_of(published) if x["quantization"]]
    assert [artifact["format"] for artifact in artifacts] == list(QUANTIZED)
    for artifact in artifacts:
        (measured,) = artifact["measured"]
        assert measured["agreement"] >= 0.99
        assert artifact["float_layers"] == []


def test_integer_artifacts_are_verified(published):
    results = verify(published)
    assert [result.findings for result in results] == [()] * 4


def test_the_tolerances_of_columns_apply(bundle):
    report = json.loads((bundle / REPORT).read_text())
    for artifact in report["artifacts"]:
        for record in artifact["parity"]:
            tolerances = record["column_tolerances"]
            assert bool(tolerances) == bool(artifact["quantization"])
            record["column_tolerances"] = dict.fromkeys(tolerances, 0.0)
    (bundle / REPORT).write_text(json.dumps(report))
    for result in verify(bundle):
        assert result.passed == (not result.quantization)


@pytest.mark.parametrize("path", PATHS.values())
def test_predict_takes_and_returns_real_values(path, published, tmp_path):
    images, labels = digits()
    np.save(tmp_path / "images.npy", images[:200])
    outputs = tmp_path / "outputs.npz"
    arguments = ["predict", str(published / path), str(tmp_path / "images.npy")]
    assert main([*arguments, "--output", str(outputs)]) == 0
    scores = np.load(outputs)["digit"]
    assert scores.dtype == "float32"
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=0.05)
    assert np.mean(scores.argmax(axis=1) == labels[:200]) > 0.95


def damage(path):
    """Halve the weights of a layer, in the file."""
    content = path.read_bytes()
    kernel = stored_kernels(path)["second/kernel"]
    assert content.count(kernel.tobytes()) == 1
    path.write_bytes(content.replace(kernel.tobytes(), (kernel // 2).tobytes()))


@pytest.mark.parametrize("name", QUANTIZED)
def test_a_damaged_kernel_exceeds_the_published_tolerance(name, bundle):
    path = bundle / PATHS[name]
    damage(path)
    report = json.loads((bundle / REPORT).read_text())
    (entry,) = [x for x in report["artifacts"] if x["path"] == path.name]
    entry["sha256"] = sha256_of(path)  # only the numbers show the damage
    (bundle / REPORT).write_text(json.dumps(report))
    ((limit,),) = [[record["tolerance"] for record in entry["parity"]]]
    paths = [artifact["path"] for artifact in report["artifacts"]]
    results = dict(zip(paths, verify(bundle), strict=True))
    assert f"{limit:.1e}" in results.pop(path.name).findings[0]
    assert all(result.passed for result in results.values())


def test_a_failed_scheme_publishes_nothing(tmp_path):
    images, labels = digits()
    images = images[:100].copy()
    images[:, 0, 0] = np.where(np.arange(100) % 2, 1e4, 0)[:, None]
    with pytest.raises(ArtifactError, match="any number of layers in float"):
        export_model(
            easy(plain),
            tmp_path / "out",
            formats="onnx",
            samples=(images, labels[:100]),
            quantize="int8",
            quantized_io="int8",
        )
    assert list(tmp_path.iterdir()) == []
