"""The layers in every kind of model and at every size; names and paths."""

import keras
import pytest

from keras_inception_layers import InceptionV1Block
from tests.helpers.layer_cases import (
    CASES,
    DATA_FORMATS,
    FILTERS,
    cases_with,
    every_config_case,
    ordered,
)
from tests.helpers.numeric import (
    FLOAT32_TOLERANCE,
    random_images,
    randomize,
    relative_error,
)

UNSIZED = {
    name: case
    for name, case in CASES.items()
    if not name.startswith("AuxiliaryClassifier")
}


class Subclassed(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        return self.layer(inputs)


@every_config_case
def test_same_output_in_every_kind_of_model(case):
    layer = case.make()
    inputs = keras.Input(case.images[1:])
    functional = keras.Model(inputs, layer(inputs))
    sequential = keras.Sequential([keras.Input(case.images[1:]), layer])
    subclassed = Subclassed(layer)
    randomize(layer)
    images = random_images(case.images)
    expected = functional(images)
    assert functional.output_shape == (None, *case.outputs[1:])
    assert sequential.output_shape == functional.output_shape
    for model in (sequential, subclassed):
        assert relative_error(model(images), expected) < FLOAT32_TOLERANCE
    randomize(layer, seed=2)
    for model in (functional, sequential, subclassed):
        assert relative_error(model(images), expected) > 0.1


def test_compiled_models_have_the_same_output():
    layer = CASES["InceptionV3ExpandedBlock"].make()
    model = keras.Sequential([keras.Input((6, 7, 3)), layer])
    randomize(model)
    images = random_images((2, 6, 7, 3))
    expected = model(images)
    for compiled in (model, Subclassed(layer)):
        actual = compiled.predict_on_batch(images)
        assert relative_error(actual, expected) < FLOAT32_TOLERANCE
    actual = model.predict_on_batch(1.01 * images)
    assert relative_error(actual, expected) > FLOAT32_TOLERANCE


@cases_with("data_format", {x: x for x in DATA_FORMATS}, UNSIZED)
def test_height_and_width_may_be_unknown(case, data_format):
    layer = case.make(data_format=data_format)
    shape = ordered((None, None, None, case.images[-1]), data_format)
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, layer(inputs))
    unknown = [None] * (len(case.outputs) - 1)
    unknown = ordered((*unknown, case.outputs[-1]), data_format)
    assert model.output_shape == unknown
    batch, height, width, channels = case.images
    for size in ((height, width), (height + 3, width + 1)):
        images = ordered((batch, *size, channels), data_format)
        expected = layer.compute_output_shape(images)
        assert model(random_images(images)).shape == expected


@pytest.mark.parametrize("name", sorted(CASES.keys() - UNSIZED))
def test_auxiliary_classifier_needs_height_and_width(name):
    head = CASES[name].make(name="head")
    with pytest.raises(ValueError, match=r'"head" needs images of known'):
        head(keras.Input((None, 14, 3)))


def test_summary_shows_the_children():
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), InceptionV1Block(FILTERS, name="block_3_1")]
    )
    lines = []
    model.summary(expand_nested=True, print_fn=lines.append)
    text = "\n".join(lines)
    for name in ("block_3_1", "branch_1_conv_0", "branch_3_pool_0"):
        assert text.count(name) == 1
    assert text.count("(Conv2D)") == 6
    assert "?" not in text
