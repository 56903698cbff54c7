"""Bundles with int8 artifacts, from outside: verified, run, harmed."""

import json
import shutil

import numpy as np
import pytest

from keras_inception_export import export_model, verify
from keras_inception_export.cli import main
from tests.export.diagnosis.test_diagnose import kernel_of
from tests.export.verification.test_sabotage import renew_hash, replace_in
from tests.helpers.hard_models import digits, easy, plain

PATHS = {"tflite": "model.int8.tflite", "onnx": "model.int8.onnx"}
ARTIFACTS = ("model.tflite", "model.onnx", *PATHS.values())


@pytest.fixture(scope="module", params=["int8", "uint8"])
def published(request, tmp_path_factory):
    """A bundle whose int8 artifacts take and give integers."""
    folder = tmp_path_factory.mktemp(request.param) / "digits"
    report = export_model(
        easy(plain),
        folder,
        formats=tuple(PATHS),
        samples=digits(),
        quantize="int8",
        quantized_io=request.param,
    )
    for artifact in report["artifacts"]:
        integers = artifact["quantization"] == "int8"
        for spec in (*artifact["inputs"], *artifact["outputs"]):
            assert spec["dtype"] == (request.param if integers else "float32")
            assert ("scale" in spec) == integers
    return folder


@pytest.fixture
def bundle(published, tmp_path):
    """A copy of the bundle, to be changed."""
    return shutil.copytree(published, tmp_path / "bundle")


def test_integers_are_verified(published):
    assert [result.findings for result in verify(published)] == [()] * 4


@pytest.mark.parametrize("path", PATHS.values())
def test_integers_are_predicted_from_real_values(path, published, tmp_path):
    images, labels = digits()
    np.save(tmp_path / "images.npy", images[:200])
    outputs = tmp_path / "outputs.npz"
    words = ["predict", str(published / path), str(tmp_path / "images.npy")]
    assert main([*words, "--output", str(outputs)]) == 0
    scores = np.load(outputs)["digit"]
    assert scores.dtype == "float32"
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=0.05)
    assert np.mean(scores.argmax(axis=1) == labels[:200]) > 0.95


@pytest.mark.parametrize("name", PATHS)
def test_a_harmed_kernel_exceeds_the_published_limit(name, bundle):
    path = bundle / PATHS[name]
    kernel = kernel_of("second", path)
    replace_in(path, kernel, kernel // 2)
    renew_hash(bundle, path.name)  # the numbers tell by themselves
    report = json.loads((bundle / "report.json").read_text())
    (limit,) = [
        record["tolerance"]
        for artifact in report["artifacts"]
        if artifact["path"] == path.name
        for record in artifact["parity"]
    ]
    found = dict(zip(ARTIFACTS, verify(bundle), strict=True))
    assert f"allowed is {limit:.1e}" in found.pop(path.name).findings[0]
    assert all(result.passed for result in found.values())
