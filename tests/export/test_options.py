"""The options of an export are checked before anything is loaded."""

import numpy as np
import pytest

from keras_inception_export import RequestError
from keras_inception_export.cli import main
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


def test_the_command_refuses_in_one_line(saved, tmp_path, capfd):
    words = ["export", str(saved), "--output", str(tmp_path / "out")]
    assert main([*words, "--quantize", "int8"]) == 2
    shown = capfd.readouterr()
    assert shown.out == "" and len(shown.err.splitlines()) == 1
    assert "needs samples" in shown.err
    np.save(tmp_path / "few.npy", np.zeros((5, 12, 12, 3), "float32"))
    words += ["--samples", str(tmp_path / "few.npy")]
    assert main([*words, "--quantize", "float16", "--quantize", "int8"]) == 2
    assert "expected at least 20" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()
