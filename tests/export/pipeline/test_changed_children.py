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
    every_change,
    ignore_warnings,
    plugin_model,
)


@pytest.mark.slow
@ignore_warnings
@every_change
def test_a_changed_model_is_exported_as_documented(change, tmp_path):
    """What is published was compared with the model as it was changed."""
    for number, make in enumerate((plugin_model, attention_model)):
        outcome = "kept"
        try:
            export_model(
                changed_model(make, change),
                tmp_path / make.__name__,
                formats="onnx",
            )
        except ConversionError:
            outcome = "error"
        assert outcome == DOCUMENTED[change]["export"][number], make.__name__


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
