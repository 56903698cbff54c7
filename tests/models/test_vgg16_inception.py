"""The hybrid compared with the notebook's model."""

import pytest

from benchmarks.notebook_model import VGG16_Inception
from keras_inception_layers import VGG16Inception
from keras_inception_layers.porting import port_notebook_weights
from tests.helpers.numeric import (
    perturb,
    random_images,
    randomize,
    relative_error,
    to_array,
)

# Relative to the largest output: the operations and their order are the same.
TOLERANCE = 1e-6
# One weight of each role, in the first, two middle and the last block.
PERTURBED = {
    "block1_conv1": "kernel",
    "block_3_2": "beta",
    "block4_conv3": "moving_mean",
    "block_5_3": "moving_variance",
}


def check_equal(ours, theirs, images):
    expected = theirs(images)
    assert relative_error(ours(images), expected) < TOLERANCE
    for layer, name in PERTURBED.items():
        weights = [x for x in ours.get_layer(layer).weights if x.name == name]
        value = to_array(weights[-1])
        perturb(weights[-1])
        error = relative_error(ours(images), expected)
        assert error > TOLERANCE, f"{weights[-1].path} has no effect"
        weights[-1].assign(value)


@pytest.mark.slow
@pytest.mark.full_size
def test_parameters_with_the_top():
    model = VGG16Inception(input_shape=None)
    assert model.input_shape == (None, 224, 224, 1)
    assert model.count_params() == 132_084_920


@pytest.mark.full_size
def test_default_model_equals_the_notebook():
    theirs = randomize(VGG16_Inception(False))
    ours = VGG16Inception(False)
    assert ours.count_params() == theirs.count_params() == 8_442_064
    port_notebook_weights(theirs, ours)
    check_equal(ours, theirs, random_images((1, 224, 224, 1)))


@pytest.mark.parametrize(
    "options",
    [
        {"include_top": False, "input_shape": (35, 45, 3), "pooling": None},
        pytest.param(
            {
                "include_top": False,
                "input_shape": (None, None, 1),
                "pooling": "avg",
            },
            marks=pytest.mark.slow,
        ),
        pytest.param({"classes": 10}, marks=pytest.mark.one_backend),
    ],
    ids=str,
)
def test_small_model_equals_the_notebook(options):
    options = {"input_shape": (32, 32, 1), **options}
    theirs = randomize(VGG16_Inception(**options))
    ours = port_notebook_weights(theirs, VGG16Inception(**options))
    assert ours.output_shape == theirs.output_shape
    size = [n or 48 for n in options["input_shape"]]
    check_equal(ours, theirs, random_images((2, *size)))
