"""`port_notebook_weights`: what it copies and what it rejects."""

import keras
import pytest

from benchmarks.notebook_model import VGG16_Inception
from keras_inception_layers import VGG16, VGG16Inception, fold_batch_norm
from keras_inception_layers.porting import port_notebook_weights
from tests.helpers.numeric import assert_equal, randomize, snapshot

SMALL = {"include_top": False, "input_shape": (32, 32, 1)}


@pytest.fixture(scope="module")
def notebook():
    return randomize(VGG16_Inception(**SMALL))


@pytest.fixture(scope="module")
def hybrid():
    return VGG16Inception(**SMALL)


def test_every_weight_is_copied_once(notebook, hybrid):
    randomize(hybrid, seed=2)
    assert port_notebook_weights(notebook, hybrid) is hybrid

    def fingerprints(model):
        return sorted(weight.tobytes() for weight in model.get_weights())

    assert fingerprints(hybrid) == fingerprints(notebook)


def replaced(notebook, name, layer):
    """Return the notebook's model with one layer replaced."""
    return keras.models.clone_model(
        notebook,
        clone_function=lambda old: (
            layer
            if old.name == name
            else old.__class__.from_config(old.get_config())
        ),
    )


def conv(name, filters, **options):
    return keras.layers.Conv2D(filters, 1, padding="same", name=name, **options)


BRANCH = "Block_3_1_Branch_0"
REJECTED_SOURCES = {
    "a renamed layer": (
        lambda source: replaced(
            source,
            f"{BRANCH}_conv",
            conv("renamed", 64, use_bias=False),
        ),
        f'no layer "{BRANCH}_conv".*'
        r"\{'kernel': \(1, 1, 128, 64\)\}.*"
        "`block_3_1/branch_0_conv_0/conv`",
    ),
    "a layer with a bias": (
        lambda source: replaced(
            source, f"{BRANCH}_conv", conv(f"{BRANCH}_conv", 64)
        ),
        f'"{BRANCH}_conv".*' r"Found .*'bias': \(64,\).*, expected .*64\)\}",
    ),
    "a batch norm with a scale": (
        lambda source: replaced(
            source,
            f"{BRANCH}_bn",
            keras.layers.BatchNormalization(name=f"{BRANCH}_bn"),
        ),
        f'"{BRANCH}_bn".*Found .*gamma.*, expected .*beta',
    ),
    "an extra layer": (
        lambda source: keras.Model(
            source.input, keras.layers.Dense(3, name="head")(source.output)
        ),
        r'"head".*\(512, 3\).*no counterpart in `target`',
    ),
    "a file name": (lambda source: "notebook.h5", "source='notebook.h5'"),
}


@pytest.mark.parametrize(
    ("change", "message"),
    REJECTED_SOURCES.values(),
    ids=REJECTED_SOURCES.keys(),
)
def test_a_source_that_does_not_fit_is_rejected(
    change, message, notebook, hybrid
):
    before = snapshot(hybrid)
    with pytest.raises(ValueError, match=message):
        port_notebook_weights(change(notebook), hybrid)
    for old, new in zip(before, hybrid.get_weights(), strict=True):
        assert_equal(new, old)


REJECTED_TARGETS = {
    "other channels": (
        lambda: VGG16Inception(False, input_shape=(32, 32, 3)),
        '"block1_conv1_conv".*3, 1, 64.*expected.*3, 3, 64.*input_shape',
    ),
    "the plain network": (
        lambda: VGG16(**SMALL),
        'Received the layer "block1_conv1" of class Conv2D',
    ),
    "a folded model": (
        lambda: fold_batch_norm(VGG16Inception(**SMALL)),
        '"block1_conv1_conv".*Found .*kernel.*expected .*bias',
    ),
    "a layer": (lambda: keras.layers.Dense(3), "target=<Dense"),
}


@pytest.mark.parametrize(
    ("make", "message"), REJECTED_TARGETS.values(), ids=REJECTED_TARGETS.keys()
)
def test_a_target_that_does_not_fit_is_rejected(make, message, notebook):
    with pytest.raises(ValueError, match=message):
        port_notebook_weights(notebook, make())


def test_another_top_is_rejected(notebook, hybrid):
    top = {"input_shape": (32, 32, 1), "classes": 5}
    with pytest.raises(ValueError, match='"fc1" is in `target` only'):
        port_notebook_weights(notebook, VGG16Inception(**top))
    source = VGG16_Inception(**top)
    with pytest.raises(ValueError, match='"fc1" is in `source` only'):
        port_notebook_weights(source, hybrid)
    other = VGG16Inception(input_shape=(32, 32, 1), classes=6)
    with pytest.raises(ValueError, match='"predictions".*5.*expected.*6'):
        port_notebook_weights(source, other)


def test_side_heads_are_rejected():
    target = VGG16Inception(input_shape=(80, 80, 1), classes=5, auxiliary=True)
    source = VGG16_Inception(input_shape=(80, 80, 1), classes=5)
    with pytest.raises(ValueError, match='Received the layer "auxiliary_1"'):
        port_notebook_weights(source, target)
