"""The inference model: float32, folded, without side heads, final shapes."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_inception_layers as plugin
from keras_inception_export import RequestError
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from tests.helpers.format_cases import small_model
from tests.helpers.numeric import random_images

POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "float64")


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_becomes_float32(policy):
    model = to_inference_model(functional(small_model(dtype=policy)))
    assert {weight.dtype for weight in model.model.weights} == {"float32"}
    assert [spec.dtype for spec in model.outputs] == ["float32"]


def test_batch_norm_is_folded():
    original = functional(small_model())
    model, images = to_inference_model(original), random_images((2, 12, 12, 3))
    assert not [x for x in model.model._flatten_layers() if hasattr(x, "gamma")]
    (scores,) = model.call(images)
    np.testing.assert_allclose(scores, original(images), atol=1e-5)
    assert np.abs(scores - original(images * 1.1)).max() > 1e-5


def test_side_heads_are_removed():
    network = plugin.VGG16Inception(
        input_shape=(80, 80, 1), classes=5, auxiliary=True
    )
    assert len(network.outputs) > 1
    model = to_inference_model(functional(network))
    assert [spec.name for spec in model.outputs] == ["predictions"]


@pytest.mark.parametrize("size", (None, 4))
def test_batch_size(size):
    model = to_inference_model(functional(small_model()), size)
    for spec in (*model.inputs, *model.outputs):
        assert spec.shape[0] == size


def test_a_fixed_batch_size_is_kept():
    image = keras.Input(batch_shape=(2, 8, 8, 3))
    model = keras.Model(image, layers.Conv2D(2, 3)(image))
    with pytest.raises(RequestError, match="fixed batch size 2"):
        to_inference_model(model, 4)
    assert to_inference_model(model).inputs[0].shape[0] == 2


def test_one_conversion_per_key():
    model, calls = to_inference_model(functional(small_model())), []
    for key in ("a", "b", "a"):
        model.converted(key, lambda key=key: calls.append(key))
    assert calls == ["a", "b"]


def test_a_copy_has_its_own_weights():
    model = to_inference_model(functional(small_model()))
    copy = model.copy()
    for weight in copy.model.weights:
        weight.assign(weight * 2)
    for weight, doubled in zip(
        model.model.weights, copy.model.weights, strict=True
    ):
        np.testing.assert_array_equal(weight * 2, doubled)
