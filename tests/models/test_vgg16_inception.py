"""The hybrid compared with the notebook's model, and its side heads."""

import keras
import numpy as np
import pytest

from benchmarks.notebook_model import VGG16_Inception
from keras_inception_layers import (
    AUXILIARY_LOSS_WEIGHT,
    VGG16Inception,
    drop_auxiliary,
)
from keras_inception_layers.porting import port_notebook_weights
from tests.helpers.numeric import (
    ONE_STEP,
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


@pytest.fixture(scope="module")
def training_model():
    model = VGG16Inception(input_shape=(80, 80, 1), classes=3, auxiliary=True)
    return randomize(model)


@pytest.mark.one_backend
def test_side_heads_have_names(training_model):
    shapes = {name: x.shape for name, x in training_model.output.items()}
    assert shapes == {
        "predictions": (None, 3),
        "auxiliary_1": (None, 3),
        "auxiliary_2": (None, 3),
    }
    heads = {"auxiliary_1": "block3_pool", "auxiliary_2": "block4_pool"}
    for head, pooling in heads.items():
        source = training_model.get_layer(pooling).output
        assert training_model.get_layer(head).input is source


@pytest.mark.one_backend
def test_side_heads_are_dropped_for_inference(training_model):
    images = random_images((2, 80, 80, 1))
    expected = training_model(images)["predictions"]
    dropped = drop_auxiliary(training_model)
    assert dropped.output_shape == (None, 3)
    assert relative_error(dropped(images), expected) == 0
    plain = VGG16Inception(input_shape=(80, 80, 1), classes=3)
    plain.set_weights(dropped.get_weights())
    assert relative_error(plain(images), expected) == 0
    assert drop_auxiliary(plain) is plain


@pytest.mark.one_backend
def test_side_heads_train_with_their_loss_weight(training_model):
    heads = ("auxiliary_1", "auxiliary_2")
    loss = "sparse_categorical_crossentropy"
    training_model.compile(
        keras.optimizers.SGD(1e-3),
        {name: loss for name in ("predictions", *heads)},
        loss_weights={
            "predictions": 1.0,
            **{name: AUXILIARY_LOSS_WEIGHT for name in heads},
        },
        **ONE_STEP,
    )
    images = random_images((2, 80, 80, 1))
    labels = {name: np.array([0, 2]) for name in ("predictions", *heads)}
    losses = training_model.test_on_batch(images, labels, return_dict=True)
    assert AUXILIARY_LOSS_WEIGHT == 0.3
    assert losses["loss"] == pytest.approx(
        losses["predictions_loss"]
        + 0.3 * (losses["auxiliary_1_loss"] + losses["auxiliary_2_loss"]),
        rel=1e-5,
    )
    weights = {
        name: training_model.get_layer(name).weights[0]
        for name in ("block1_conv1", "fc1", *heads)
    }
    before = {name: to_array(weight) for name, weight in weights.items()}
    training_model.train_on_batch(images, labels)
    for name, weight in weights.items():
        changed = to_array(weight) != before[name]
        assert changed.any(), f"{weight.path} was not trained"
