"""What is published computes what the model in memory computes."""

import keras
import numpy as np
import onnx
import pytest
from keras import layers, ops
from onnx import numpy_helper

from keras_inception_export import (
    RequestError,
    export_model,
    load_artifact,
    verify,
)
from keras_inception_export.formats.onnx.runtime import open_runner
from tests.helpers.bundles import renew_hash
from tests.helpers.faulty_layers import Counting, Forgetful, Noisy

FORMATS = ("saved_model", "tflite", "onnx")
GENERATOR = np.random.default_rng(0)


def sequential(*steps, shape=(8,), dtype="float32"):
    return keras.Sequential([keras.Input(shape, dtype=dtype), *steps])


def without_its_state():
    """Return a model whose constants are not those of its weights."""
    norm = layers.Normalization()
    norm.adapt(GENERATOR.normal(size=(10, 8)))
    model = sequential(norm)
    zero, one = np.zeros(8), np.ones(8)
    norm.set_weights([5 * one, 4 * one, zero[0]][: len(norm.weights)])
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    (
        (
            lambda: sequential(layers.Dense(4), Forgetful(5.0, name="lost")),
            r'the first layer that differs is "\w+/lost" \(Forgetful\)',
        ),
        (without_its_state, r"differs is .*\(Normalization\)"),
        (lambda: sequential(Noisy(name="noise")), r"noise. \(Noisy\)"),
        (lambda: sequential(Counting(name="count")), r"count. \(Counting\)"),
    ),
    ids=("forgotten argument", "lost state", "random", "counting"),
)
def test_a_model_that_a_copy_does_not_equal_is_refused(make, message, tmp_path):
    with pytest.raises(RequestError, match=message):
        export_model(make(), tmp_path / "out", formats="onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("adapted", [True, False])
def test_statistics_have_the_precision_of_the_model(adapted, tmp_path):
    norm = layers.Normalization(dtype="mixed_bfloat16")
    if adapted:
        norm.adapt(GENERATOR.normal(5.3, 3, (20, 8)).astype("float32"))
    else:
        facts = {"mean": 5.3, "variance": 3.3, "dtype": "mixed_bfloat16"}
        norm = layers.Normalization(**facts)
    model = sequential(norm, layers.Dense(2))
    export_model(model, tmp_path / "out", formats="onnx")


def hostile():
    """Return a model of integers, images of any size, and large values."""
    x = keras.Input((6,), dtype="int32", name="integers")
    outputs = {
        "floor": x // 60,
        "rest": x % 60,
        "cast": ops.cast(x, "float32") // 60,
    }
    image = keras.Input((None, None, 2), name="image")
    crop = layers.CenterCrop(32, 32, name="crop")(image)
    outputs["cropped"] = layers.Conv2D(3, 3)(crop)
    values = keras.Input((8,), name="values")
    outputs |= {
        "plus": ops.softplus(values),
        "log": ops.log_sigmoid(values),
        "unit": layers.UnitNormalization()(values),
    }
    return keras.Model([x, image, values], outputs)


INPUTS = {
    "integers": GENERATOR.integers(-1000, 1000, (3, 6)).astype("int32"),
    "image": GENERATOR.random((3, 24, 24, 2), "float32"),
    "values": np.float32(
        [[0] * 8, [100] * 8, [-100, 1e4, -1e4, 88, 89, 0, 1, -1]]
    ),
}


def test_inputs_that_expose_errors(tmp_path):
    """On inputs that the export did not choose, run by the bare runtimes."""
    model = hostile()
    export_model(model, tmp_path / "out", formats=FORMATS)
    expected = model(list(INPUTS.values()), training=False)
    for file in ("saved_model", "model.tflite", "model.onnx"):
        found = load_artifact(tmp_path / "out" / file)(INPUTS)
        for name, values in expected.items():
            values = np.array(values)
            allowed = {"rtol": 1e-5, "atol": 1e-5 * np.abs(values).max()}
            np.testing.assert_allclose(found[name], values, **allowed)
            assert not np.allclose(1.01 * found[name] + 1e-2, values, **allowed)


def test_an_error_in_a_small_column_beside_a_large_one(tmp_path):
    """An error of 1 in a column of -2 to 14, beside a column of 1e6."""
    model = sequential(layers.Dense(2, name="dense"))
    kernel = np.ones((8, 2), "float32") * [1, 1e5]
    model.layers[0].set_weights([kernel, np.zeros(2)])
    out = tmp_path / "out"
    export_model(model, out, formats="onnx")
    path = out / "model.onnx"
    artifact = onnx.load(path)
    (bias,) = [x for x in artifact.graph.initializer if list(x.dims) == [2]]
    for shift, passed in ((1e-9, True), (1.0, False)):
        array = np.float32([shift, 0])
        bias.CopyFrom(numpy_helper.from_array(array, bias.name))
        onnx.save(artifact, path)
        renew_hash(out, "model.onnx")
        (result,) = verify(out)
        assert result.passed is passed
    assert "column 0" in result.findings[0]


def test_an_output_may_be_one_number(tmp_path):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, ops.sum(layers.Dense(3)(inputs)))
    out = tmp_path / "out"
    export_model(model, out, formats="onnx")
    assert [result.passed for result in verify(out)] == [True]
    feed = {"input": INPUTS["values"]}
    found = open_runner(out / "model.onnx", threads=1).run(feed)["output"]
    np.testing.assert_allclose(found, model(INPUTS["values"]), rtol=1e-5)
