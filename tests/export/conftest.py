"""A proven bundle, made once, that tests copy and harm."""

import shutil

import keras
import pytest

from keras_inception_export import export_model
from keras_inception_layers import VGG16Inception
from tests.helpers.format_cases import small_model
from tests.helpers.numeric import random_images, randomize


@pytest.fixture(scope="session")
def hybrid():
    """The hybrid on small images: its features, and their mean."""
    keras.utils.set_random_seed(0)
    features = VGG16Inception(include_top=False, input_shape=(32, 32, 1))
    mean = keras.ops.mean(features.output, axis=-1, keepdims=True)
    outputs = {"features": features.output, "alike": features.output + mean}
    return randomize(keras.Model(features.input, outputs, name="hybrid"))


@pytest.fixture(scope="session")
def samples():
    return random_images((12, 32, 32, 1))


@pytest.fixture(scope="session")
def published(hybrid, samples, tmp_path_factory):
    """The bundle of the hybrid; not to be changed."""
    folder = tmp_path_factory.mktemp("published") / "hybrid"
    export_model(hybrid, folder, samples=samples)
    return folder


@pytest.fixture
def bundle(published, tmp_path):
    """A copy of the bundle, to be changed."""
    return shutil.copytree(published, tmp_path / "bundle")


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A small classifier in a `.keras` file."""
    path = tmp_path_factory.mktemp("saved") / "small.keras"
    small_model().save(path)
    return path
