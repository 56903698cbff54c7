"""What holds for every format of the registry."""

import sys

import pytest

from keras_inception_export.errors import RuntimeMissingError
from keras_inception_export.formats.registry import FORMATS

RUNTIMES = {
    "saved_model": ("tensorflow", "tensorflow"),
    "tflite": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "onnx": ("onnxruntime", "onnxruntime"),
    "openvino": ("openvino", "openvino"),
}
"""For each format, the module of its runtime, and its distribution."""


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_runtime_is_named(name, monkeypatch, tmp_path):
    module, distribution = RUNTIMES[name]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RuntimeMissingError, match=f"install {distribution}"):
        FORMATS[name].open_runner(tmp_path / FORMATS[name].file_name)
