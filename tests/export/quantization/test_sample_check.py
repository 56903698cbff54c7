"""Samples that differ from the training data cause a warning."""

import keras
import numpy as np
import pytest

from keras_inception_export.data.samples import Samples
from keras_inception_export.errors import RequestError
from keras_inception_export.quantization.sample_check import check_samples
from keras_inception_layers import ConvBN, InceptionV1Block
from tests.helpers.numeric import randomize, settle_statistics


def images(seed=0, number=60):
    """Return smooth images from 0 to 1, dark and bright ones."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((number, 4, 4, 1)) ** 2
    return coarse.repeat(4, 1).repeat(4, 2).astype("float32")


@pytest.fixture(scope="module")
def trained():
    """A model with the moving statistics of the images."""
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 1), name="image")
    x = ConvBN(8, 3)(image)
    x = InceptionV1Block(((4,), (4, 6), (2, 4), (4,)))(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = randomize(keras.Model(image, keras.layers.Dense(3)(x)))
    return settle_statistics(model, images())


def check(model, array):
    return check_samples(model, Samples({"image": array.astype("float32")}))


def test_samples_like_the_training_data_pass(trained):
    assert check(trained, images(seed=1)) == []


WRONG = {
    "pixels to 255": lambda x: x * 255,
    "a tenth": lambda x: x / 10,
    "a third": lambda x: x / 3,
    "from -1 to 1": lambda x: 2 * x - 1,
    "inverted": lambda x: 1 - x,
    "too bright": lambda x: x + 1,
    "noise": lambda x: np.random.default_rng(0).normal(size=x.shape),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_samples_in_another_range_cause_a_warning(trained, change):
    (warning,) = check(trained, change(images(seed=1)))
    assert "do not look like what the model was trained on" in warning


def test_an_untrained_model_causes_no_warning():
    image = keras.Input((16, 16, 1), name="image")
    assert check(keras.Model(image, ConvBN(4, 3)(image)), images() * 255) == []


def test_few_samples_cause_a_warning(trained):
    (warning,) = check(trained, images(number=30))
    assert "30 samples" in warning


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (
            np.ones((60, 16, 16, 1)) * np.arange(60)[:, None, None, None],
            "const",
        ),
        (images(number=1).repeat(60, 0), "equal"),
    ],
    ids=["constant", "equal"],
)
def test_samples_without_a_range_are_refused(trained, array, what):
    with pytest.raises(RequestError, match=f"are all {what}"):
        check(trained, array)


def test_samples_with_a_single_value_pass():
    number = keras.Input((1,), name="number")
    model = keras.Model(number, keras.layers.Dense(2)(number))
    values = np.arange(60, dtype="float32")[:, None]
    assert check_samples(model, Samples({"number": values})) == []
    with pytest.raises(RequestError, match="are all equal"):
        check_samples(model, Samples({"number": values * 0}))


def test_integer_images_are_checked():
    image = keras.Input((16, 16, 1), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    model = keras.Model(image, keras.layers.Conv2D(2, 3)(x))
    pixels = (images() * 255).astype("uint8")
    assert check_samples(model, Samples({"image": pixels})) == []
    with pytest.raises(RequestError, match="are all constant"):
        check_samples(model, Samples({"image": pixels * 0}))
    pixels[:10] = 7
    (warning,) = check_samples(model, Samples({"image": pixels}))
    assert warning == '10 of 60 samples for "image" are constant'


def test_word_indices_may_be_constant():
    words = keras.Input((6,), dtype="int32", name="words")
    x = keras.layers.Embedding(9, 2)(words)
    model = keras.Model(words, keras.layers.Flatten()(x))
    tokens = np.ones((60, 6), "int32")
    assert check_samples(model, Samples({"words": tokens})) == []


def test_the_model_is_unchanged(trained):
    check(trained, images())
    assert not any("call" in vars(x) for x in trained._flatten_layers())
