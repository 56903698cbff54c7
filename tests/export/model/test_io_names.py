"""Names and order of inputs and outputs, before anything is converted."""

import keras
import pytest
from keras import layers

from keras_inception_export import RequestError
from keras_inception_export.model.inference_model import InferenceModel
from tests.helpers.format_cases import (
    named_by_hand,
    named_by_keras,
    named_by_keys,
    small_model,
)


@pytest.mark.parametrize(
    ("make", "inputs", "outputs"),
    (
        (named_by_hand, ["z", "b"], ["y", "a"]),
        (named_by_keras, ["input", "input_1"], ["output", "output_1"]),
        (named_by_keys, ["z", "b"], ["y", "a"]),
    ),
)
@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_names_and_order(make, inputs, outputs, tmp_path):
    """The same in a new process, after other models, saved and loaded."""
    keras.backend.clear_session()
    models = [make()]
    named_by_keras(), small_model()
    models.append(make())
    make().save(tmp_path / "model.keras")
    models.append(keras.models.load_model(tmp_path / "model.keras"))
    for model in map(InferenceModel.of, models):
        assert [spec.name for spec in model.inputs] == inputs
        assert [spec.name for spec in model.outputs] == outputs
        shapes = [spec.shape[-1] for spec in model.inputs + model.outputs]
        assert shapes[:2] == [3, 4] and set(shapes[2:]) == {2, 3}


@pytest.mark.parametrize("number", (3, 4))
def test_automatic_names_are_numbered(number):
    given = [keras.Input((3,)) for _ in range(number)]
    model = InferenceModel.of(keras.Model(given, [x + 1 for x in given]))
    for specs, name in ((model.inputs, "input"), (model.outputs, "output")):
        numbered = [f"{name}_{index}" for index in range(1, number)]
        assert [spec.name for spec in specs] == [name, *numbered]


def keyword():
    image = keras.Input((4,), name="in")
    return keras.Model(image, layers.Dense(2)(image))


def same_name():
    x = keras.Input((4,), name="x")
    return keras.Model({"x": x}, {"x": layers.Dense(2)(x)})


def strings():
    words = keras.Input((1,), dtype="string", name="words")
    lookup = layers.StringLookup(vocabulary=["a", "b"], name="lookup")
    return keras.Model(words, lookup(words))


def halves():
    x = keras.Input((4,), dtype="bfloat16", name="x")
    return keras.Model(x, layers.Dense(2)(x))


def spectrum():
    x = keras.Input((4,), dtype="complex64", name="x")
    return keras.Model(x, keras.ops.abs(x))


@pytest.mark.parametrize(
    ("make", "message"),
    (
        (spectrum, 'input "x" is of dtype complex64'),
        (halves, '"x" is of dtype bfloat16'),
        (keyword, 'input name "in" cannot be used'),
        (same_name, '"x" names both an input and an output'),
        (strings, '"words" is of dtype string'),
    ),
)
def test_refused(make, message):
    with pytest.raises(RequestError, match=message):
        InferenceModel.of(make())
