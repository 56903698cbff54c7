"""Models made Functional, and models that are refused."""

import sys
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export import RequestError
from keras_inception_export.model.loading import (
    deep_models,
    functional,
    import_modules,
    load_model,
)
from keras_inception_layers import AuxiliaryClassifier
from tests.helpers.format_cases import small_model
from tests.helpers.numeric import random_images
from tests.helpers.structures import Subclassed

VECTOR = np.zeros((1, 4), "float32")


def unbuilt():
    return keras.Sequential([layers.Dense(3)], name="young")


def layer_name():
    image = keras.Input((4,))
    return keras.Model(image, layers.Dense(2, name="two words")(image))


def stateful():
    steps = keras.Input(batch_shape=(2, 5, 4))
    cell = layers.Bidirectional(layers.LSTM(3, stateful=True), name="memory")
    return keras.Model(steps, cell(steps))


class TwoArguments(Subclassed):
    def call(self, left, right, training=False):
        return left + right


class Eager(Subclassed):
    def call(self, inputs):
        return keras.ops.convert_to_tensor(np.asarray(inputs))


def called(model, *inputs):
    model(*inputs)
    return model


@pytest.mark.filterwarnings("ignore:`build..` was called on layer")
@pytest.mark.parametrize(
    ("make", "message"),
    (
        (unbuilt, '"young" is not built'),
        (layer_name, 'layer name "two words" cannot be a name scope'),
        (stateful, r'"memory" \(Bidirectional\) is stateful'),
        (
            lambda: called(TwoArguments(), VECTOR, VECTOR),
            "the arguments left, right",
        ),
        (
            lambda: called(Eager(), VECTOR),
            '"eager" cannot be called on symbolic inputs',
        ),
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


def test_side_heads_of_a_nested_network_are_dropped():
    def heads(x):
        main = layers.GlobalMaxPooling2D(name="main")(x)
        return {"main": main, "side": AuxiliaryClassifier(2)(x)}

    image = keras.Input((5, 5, 1))
    network = keras.Model(image, heads(image))
    images = random_images((2, 5, 5, 1))
    for model in (
        keras.Model(image, network(image)),
        keras.Sequential([image, network]),
    ):
        same = functional(model)
        np.testing.assert_array_equal(same(images), model(images)["main"])


def test_a_missing_module_is_named():
    with pytest.raises(RequestError, match="--import no_such_module"):
        import_modules(["no_such_module"])


@pytest.mark.parametrize("suffix", (".keras", ".h5"))
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_a_file_of_either_format_is_loaded(suffix, tmp_path):
    """Keras 2 wrote HDF5 files of both suffixes."""
    model, images = small_model(), random_images((2, 12, 12, 3))
    model.save(tmp_path / "model.h5")
    path = (tmp_path / "model.h5").rename(tmp_path / f"old{suffix}")
    np.testing.assert_array_equal(load_model(path)(images), model(images))


def test_a_file_of_weights_is_refused(tmp_path):
    path = tmp_path / "model.weights.h5"
    small_model().save_weights(path)
    with pytest.raises(RequestError, match="a file of weights alone"):
        load_model(path)


def test_the_version_that_saved_a_file_is_named(tmp_path):
    path = tmp_path / "old.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", '{"class_name": "Sequential"}')
        archive.writestr("metadata.json", '{"keras_version": "2.15.0"}')
    with pytest.raises(RequestError, match="saved by Keras 2.15.0, cannot"):
        load_model(path)


def test_a_deep_model_is_loaded(tmp_path):
    """Keras alone follows no more than some 980 layers in a row."""
    path, limit = tmp_path / "deep.keras", sys.getrecursionlimit()
    x = vector = keras.Input((3,))
    identity = layers.Identity()
    with deep_models():
        for _ in range(limit + 100):
            x = identity(x)
        keras.Model(vector, x).save(path)
    with pytest.raises(RecursionError):
        keras.models.load_model(path)
    assert len(load_model(path)._nodes) == limit + 101
    assert sys.getrecursionlimit() == limit
