"""A model of which layers were changed is exported as it is, or refused."""

import keras
import numpy as np
import pytest

from keras_inception_export import export_model, load_artifact
from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.model.inference_model import InferenceModel
from tests.helpers.changed_children import (
    DOCUMENTED,
    attention_model,
    changed_model,
    ignore_warnings,
    plugin_model,
)


@pytest.mark.slow
@ignore_warnings
def test_changed_models_are_exported_as_documented(tmp_path):
    """What is published was compared with the models as they were changed.

    Those that are kept are in one model, each with an output of its own.
    """
    inputs, outputs = {}, {}
    flat = keras.layers.Flatten()
    mean = keras.layers.GlobalAveragePooling2D()
    for change, ways in DOCUMENTED.items():
        makes = plugin_model, attention_model
        for make, outcome in zip(makes, ways["export"], strict=True):
            model = changed_model(make, change)
            if outcome == "error":
                with pytest.raises(ConversionError):
                    export_model(model, tmp_path / "refused", formats="onnx")
                continue
            assert outcome == "kept"
            name = f"{change}_{make.__name__}"
            inputs[name] = image = keras.Input((5, 5, 3), name=name)
            # A side head alone would be removed.
            parts = [flat(model(image)), mean(image)]
            outputs[f"of_{name}"] = keras.ops.concatenate(parts, -1)
    report = export_model(
        keras.Model(inputs, outputs), tmp_path / "out", formats="onnx"
    )
    (artifact,) = report["artifacts"]
    passed = [x["output"] for x in artifact["parity"] if x["passed"]]
    assert passed == list(outputs) and len(passed) == 12


@ignore_warnings
def test_float8_of_bfloat16_rounds_twice_as_in_keras(tmp_path):
    vector = keras.Input((4,))
    tiny = keras.layers.Dense(2, dtype="float8_from_mixed_bfloat16")
    model = keras.Model(vector, tiny(vector))
    export_model(model, tmp_path / "out", formats="saved_model")
    run = load_artifact(tmp_path / "out" / "saved_model")
    values = np.random.default_rng(0).normal(size=(99, 4)).astype("float32")
    (got,) = run(values).values()
    assert got.dtype == "float32"
    expected = keras.ops.convert_to_numpy(
        keras.ops.cast(model(values), "float32")
    )
    np.testing.assert_array_equal(got, expected)


@ignore_warnings
def test_float8_is_exported_as_a_saved_model(tmp_path):
    """Keras rounds in it; its custom gradient cannot be computed."""
    vector = keras.Input((4,))
    hidden = keras.layers.Dense(6, "tanh")(vector)
    model = keras.Model(vector, keras.layers.Dense(2, name="tiny")(hidden))
    model.quantize("float8", filters=lambda layer: layer.name == "tiny")
    export_model(model, tmp_path / "out", formats="saved_model")
    run = load_artifact(tmp_path / "out" / "saved_model")
    values = np.random.default_rng(0).normal(size=(9, 4)).astype("float32")
    (got,) = run(values).values()
    expected = keras.ops.convert_to_numpy(model(values))
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)
    plain = keras.ops.tanh(values @ model.layers[1].kernel)
    plain = plain @ model.get_layer("tiny").kernel
    assert np.abs(plain - expected).max() > 1e-3, "it is not rounded"
    for name in ("onnx", "tflite"):
        message = r'layer "tiny" \(Dense\) is quantized to float8, which '
        with pytest.raises(ConversionError, match=message + name.upper()[:2]):
            FORMATS[name].write(
                InferenceModel.of(model), tmp_path / name, opset=18
            )
