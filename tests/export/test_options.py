"""The options of an export are checked before anything is loaded."""

import numpy as np
import pytest

from keras_inception_export import RequestError
from keras_inception_export.options import ExportOptions

SAMPLES = np.zeros((30, 2), "float32")

REFUSED = {
    "scheme": ({"quantize": "int4"}, 'quantization "int4" is unknown'),
    "no samples": ({"samples": None}, "int8 is measured .* needs samples"),
    "criteria without samples": (
        {"quantize": "float16", "samples": None, "min_agreement": 0.9},
        "min_agreement is measured .* needs samples",
    ),
    "criteria alone": (
        {"quantize": (), "max_accuracy_drop": 0.1},
        "max_accuracy_drop applies to quantized artifacts",
    ),
    "saved_model": (
        {"formats": "saved_model"},
        "saved_model cannot be quantized to int8; add one of the formats",
    ),
    "io alone": (
        {"quantize": "float16", "quantized_io": "int8"},
        "need the quantization int8",
    ),
    "io": ({"quantized_io": "int16"}, 'quantized io "int16" is unknown'),
    "agreement": ({"min_agreement": 99}, "from 0 to 1; got 99"),
    "drop": ({"max_accuracy_drop": -0.1}, "from 0 to 1; got -0.1"),
    "calibration": ({"calibration_samples": 0}, "at least 1, got 0"),
    "batch size": ({"batch_size": 2.5}, "at least 1, got 2.5"),
    "opset": ({"opset": 19}, "opset 19 cannot be written"),
    "no format": ({"formats": ()}, "got no format; choose from"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(options, message, tmp_path):
    options = {"quantize": "int8", "samples": SAMPLES, **options}
    with pytest.raises(RequestError, match=message):
        ExportOptions(output_dir=tmp_path / "out", **options)


def test_schemes_are_distinct_and_in_order(tmp_path):
    options = ExportOptions(
        output_dir=tmp_path / "out",
        samples=SAMPLES,
        quantize=["int8", "float16", "int8"],
    )
    assert options.quantize == ("float16", "int8")
    assert options.quantized_formats("int8") == ("tflite", "onnx")
