"""One small model and its int8 artifact, shared by the tests."""

import pytest

from keras_inception_export.formats.onnx.quantize.quantizer import (
    OnnxQuantizer,
)
from tests.helpers.quantized_cases import SAMPLES, inception


@pytest.fixture(scope="package")
def inference_model():
    return inception()


@pytest.fixture(scope="package")
def quantizer(inference_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantizer")
    return OnnxQuantizer(inference_model, folder, calibration=SAMPLES)


@pytest.fixture(scope="package")
def int8(quantizer, tmp_path_factory):
    """The int8 artifact; tests must not change it."""
    path = tmp_path_factory.mktemp("int8") / "model.int8.onnx"
    quantizer.write(path, "int8")
    return path
