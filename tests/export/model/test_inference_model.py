"""The inference model of any structure: float32, folded, final shapes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_inception_layers as plugin
from keras_inception_export import RequestError, export_model
from keras_inception_export.model.inference_model import (
    InferenceModel,
    to_inference_model,
)
from keras_inception_export.model.loading import functional
from tests.helpers.format_cases import (
    feeds_of,
    keras_outputs,
    largest_error,
    small_model,
)
from tests.helpers.numeric import random_images, randomize
from tests.helpers.structures import STRUCTURES, WithoutConfig, sequential

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


LORA = {
    "Conv2D": lambda: layers.Conv2D(3, 2, lora_rank=2, lora_alpha=5),
    "Dense": lambda: layers.Dense(3, lora_rank=2),
    "Einsum": lambda: layers.EinsumDense("abcd,dce->abe", (6, 3), lora_rank=2),
    "Embedding": lambda: layers.Embedding(5, 3, lora_rank=2, lora_alpha=7),
}


@pytest.mark.parametrize("case", LORA)
def test_lora_is_merged(case):
    dtype = "int32" if case == "Embedding" else "float32"
    image = keras.Input((6, 5, 4), dtype=dtype)
    original = randomize(keras.Model(image, LORA[case]()(image)))
    model = to_inference_model(original)
    names = [weight.name for weight in model.model.weights]
    assert not [name for name in names if "lora" in name]
    images = (random_images((2, 6, 5, 4)) ** 2 % 5).astype(dtype)
    expected = original(images)
    for variant in (model, model.copy()):
        (outputs,) = variant.call(images)
        np.testing.assert_allclose(outputs, expected, atol=2e-5)
    original.layers[-1].lora_alpha *= 1.01
    assert np.abs(outputs - original(images)).max() > 1e-3


class OwnLora(layers.Dense):
    """A layer of the user's that has the attributes of Keras, and others."""

    lora_enabled = True

    def build(self, input_shape):
        super().build(input_shape)
        self.update = self.add_weight(shape=self.kernel.shape)

    def call(self, inputs):
        return inputs @ (self._kernel + 3 * self.update)


def test_a_lora_of_the_users_is_left_as_it_is():
    original = randomize(sequential((4,), OwnLora(3)))
    vectors = random_images((2, 4))
    (outputs,) = to_inference_model(functional(original)).call(vectors)
    np.testing.assert_allclose(outputs, original(vectors), rtol=1e-5)


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


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_inference_model_computes_what_the_model_computes(name):
    model = functional(randomize(STRUCTURES[name]()))
    copy = to_inference_model(model)
    feeds = feeds_of(copy, 3)
    expected = keras_outputs(InferenceModel.of(model), feeds)
    assert largest_error(keras_outputs(copy, feeds), expected) < 1e-5
    shifted = {key: value * 1.01 for key, value in feeds.items()}
    assert largest_error(keras_outputs(copy, shifted), expected) > 1e-5


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


@pytest.mark.parametrize(
    ("compute", "kind"),
    (
        (tf.RaggedTensor.from_tensor, "ragged"),
        (tf.sparse.from_dense, "sparse"),
        (lambda x: tf.complex(x, x), "complex"),
    ),
)
def test_an_output_of_another_kind_is_named(compute, kind):
    """Keras declares each as a dense tensor of numbers."""
    model = sequential((4,), layers.Lambda(compute, name="other"))
    with pytest.raises(RequestError, match=f'output "other" is a {kind}'):
        InferenceModel.of(functional(model)).call(np.ones((2, 4), "float32"))


def test_an_output_in_float64_is_one_in_float32():
    wide = layers.Lambda(lambda x: tf.cast(x, "float64") * 3)
    model = to_inference_model(functional(sequential((4,), wide)))
    (output,) = model.call(np.ones((2, 4), "float32"))
    assert output.dtype.name == model.outputs[0].dtype == "float32"


class Centred(layers.Layer):
    """It has a constant, and leaves loading to Keras."""

    def build(self, shape):
        self.mean = self.add_weight(shape=shape[-1:], initializer="zeros")
        self.finalize_state()

    def finalize_state(self):
        self.constant = np.array(self.mean)

    def call(self, inputs):
        return inputs - self.constant


def test_a_custom_layer_is_finalized():
    layer, vectors = Centred(), np.ones((2, 4), "float32")
    model = functional(sequential((4,), layer))
    layer.mean.assign([1.0, 2.0, 3.0, 4.0])
    layer.finalize_state()
    copy = to_inference_model(model).model
    np.testing.assert_array_equal(copy(vectors), model(vectors))


def test_what_a_layer_was_adapted_to_is_copied():
    """`finalize_state` of a copy would forget the bins."""
    generator = np.random.default_rng(0)
    bins, norm = layers.Discretization(num_bins=5), layers.Normalization()
    weights = layers.IntegerLookup(output_mode="tf_idf", max_tokens=5)
    norm.adapt(generator.normal(2, 3, (99, 4)))
    bins.adapt(generator.normal(size=99))
    weights.adapt(np.array([[1, 1, 2, 3], [1, 4, 1, 1]]))
    values, tokens = keras.Input((4,)), keras.Input((4,), dtype="int64")
    model = keras.Model(
        [values, tokens], [bins(values), norm(values), weights(tokens)]
    )
    feed = [generator.normal(size=(9, 4)), generator.integers(0, 6, (9, 4))]
    copy = to_inference_model(model).model
    assert copy is not model
    for found, expected in zip(copy(feed), model(feed), strict=True):
        np.testing.assert_array_equal(found, expected)
        assert np.ptp(expected)


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
