"""Properties that hold for any table of branches.

A few tables are drawn in every run; `--hypothesis-profile thorough` draws
1,000 for each.
"""

import keras
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keras_inception_layers import InceptionBlock, fold_batch_norm
from tests.helpers.numeric import (
    FLOAT32_TOLERANCE,
    ONE_STEP,
    random_images,
    randomize,
    relative_error,
    to_array,
)
from tests.helpers.random_blocks import (
    POLICIES,
    block_of,
    equal_models,
    image_shape,
    tables,
)

# Of the weights after one step with a rate of 1, so that the gradients count;
# their sums are longer than those of an output.
GRADIENT_TOLERANCE = 5 * FLOAT32_TOLERANCE


def images_and_outputs(table, model):
    """Return two images with different outputs: not every relu is dead."""
    images = random_images((2, *image_shape(table)))
    outputs = to_array(model(images))
    assume(np.ptp(outputs, axis=0).max() > 0.01 * abs(outputs).max())
    return images, outputs


@given(tables())
def test_computes_what_a_flat_model_computes(table):
    model, plain, weights = equal_models(table)
    images, expected = images_and_outputs(table, plain)
    assert relative_error(model(images), expected) < FLOAT32_TOLERANCE
    assert relative_error(model(images[::-1]), expected) > FLOAT32_TOLERANCE
    folded = fold_batch_norm(model)
    assert relative_error(folded(images), expected) < FLOAT32_TOLERANCE
    for each in (model, plain):
        each.compile(keras.optimizers.SGD(1.0), "mse", **ONE_STEP)
        each.train_on_batch(images, np.ones(expected.shape, "float32"))
    for weight, expected in zip(model.weights, weights, strict=True):
        error = to_array(weight) - to_array(expected)
        scale = max(abs(to_array(expected)).max(), 1)
        assert abs(error).max() / scale < GRADIENT_TOLERANCE


@pytest.mark.one_backend
@given(table=tables(), dtype=st.sampled_from(POLICIES))
def test_is_restored_from_its_config(float64, table, dtype):
    block = block_of(table, dtype)
    shape = (None, *image_shape(table))
    unknown = list(shape)
    for axis in (1, 2) if table["data_format"] == "channels_last" else (2, 3):
        unknown[axis] = None
    block.build(unknown)
    computed = block.compute_output_shape(shape)
    assert block.compute_output_spec(
        keras.KerasTensor(shape, block.compute_dtype)
    ).shape == tuple(computed)
    size = [-(-x // table["strides"]) for x in table["size"]]
    axis = 1 if table["data_format"] == "channels_first" else 3
    assert [x for i, x in enumerate(computed) if i not in (0, axis)] == size
    config = block.get_config()
    again = InceptionBlock.from_config(config)
    again.build(unknown)
    assert again.get_config() == config
    assert [x.path for x in again.weights] == [x.path for x in block.weights]
    assert [x.dtype for x in again.weights] == [x.dtype for x in block.weights]


@pytest.mark.one_backend
@given(table=tables())
def test_is_saved_and_cloned(tmp_path_factory, table):
    image = keras.Input(image_shape(table))
    model = randomize(keras.Model(image, block_of(table)(image)))
    images, expected = images_and_outputs(table, model)
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for other in (keras.models.load_model(path), clone):
        assert relative_error(other(images), expected) < FLOAT32_TOLERANCE
