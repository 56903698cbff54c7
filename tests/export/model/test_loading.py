"""Models made Functional, and models that are refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export import RequestError
from keras_inception_export.model.loading import functional, import_modules
from tests.helpers.format_cases import small_model
from tests.helpers.numeric import random_images


def contains_lambda():
    image = keras.Input((4,))
    return keras.Model(image, layers.Lambda(lambda x: x * 2, name="hm")(image))


def unbuilt():
    return keras.Sequential([layers.Dense(3)], name="young")


def layer_name():
    image = keras.Input((4,))
    return keras.Model(image, layers.Dense(2, name="two words")(image))


@pytest.mark.parametrize(
    ("make", "message"),
    (
        (contains_lambda, '"hm" is a Lambda'),
        (unbuilt, '"young" is not built'),
        (layer_name, 'layer name "two words" cannot be a name scope'),
    ),
)
def test_refused(make, message):
    with pytest.raises(RequestError, match=message):
        functional(make())


def test_a_sequential_model_keeps_its_layers():
    model, images = small_model(), random_images((2, 12, 12, 3))
    same = functional(model)
    assert same.name == model.name and not isinstance(same, keras.Sequential)
    np.testing.assert_array_equal(same(images), model(images))


def test_a_missing_module_is_named():
    with pytest.raises(RequestError, match="--import no_such_module"):
        import_modules(["no_such_module"])
