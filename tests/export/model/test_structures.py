"""Models of any structure have an inference model that computes the same."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_inception_export import RequestError, export_model
from keras_inception_export.model.inference_model import (
    InferenceModel,
    to_inference_model,
)
from keras_inception_export.model.loading import functional
from tests.helpers.format_cases import feeds_of, largest_error
from tests.helpers.format_cases import keras_outputs as run
from tests.helpers.numeric import randomize
from tests.helpers.structures import STRUCTURES, WithoutConfig, sequential


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_inference_model_computes_what_the_model_computes(name):
    model = functional(randomize(STRUCTURES[name]()))
    copy = to_inference_model(model)
    feeds = feeds_of(copy, 3)
    expected = run(InferenceModel.of(model), feeds)
    assert largest_error(run(copy, feeds), expected) < 1e-5
    shifted = {key: value * 1.01 for key, value in feeds.items()}
    assert largest_error(run(copy, shifted), expected) > 1e-5


def test_a_layer_without_config_is_named_where_a_copy_is_needed():
    model = to_inference_model(functional(sequential((4,), WithoutConfig(3))))
    with pytest.raises(RequestError, match=r"WithoutConfig\) cannot be made"):
        model.copy()


def test_an_integer_layer_keeps_its_dtype():
    tokens = keras.Input((4,), dtype="int32")
    model = keras.Model(tokens, layers.Hashing(7)(tokens))
    copy = to_inference_model(model).model
    feed = np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(copy(feed), model(feed))
    assert np.any(copy(feed + 1) != model(feed))


def test_channels_first_is_exported(tmp_path):
    """On processors without NCHW kernels too; a bias becomes no `BiasAdd`."""
    first = {"data_format": "channels_first"}
    model = sequential(
        (3, 12, 14),
        layers.Conv2D(4, 3, strides=2, **first),
        layers.BatchNormalization(axis=1),
        layers.DepthwiseConv2D(2, activation="relu", **first),
        layers.Conv2DTranspose(2, 3, **first),
    )
    report = export_model(randomize(model), tmp_path / "out", formats=["onnx"])
    assert report["passed"]
