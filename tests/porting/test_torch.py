"""`port_torch_weights`: what it copies and what it rejects.

The expected outputs are those of torchvision with weights that are generated
from their names (tests/helpers/make_torchvision.py).
"""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from keras_inception_layers import InceptionV3, VGG16Inception, drop_auxiliary
from keras_inception_layers.porting import port_torch_weights
from tests.helpers.numeric import (
    assert_equal,
    check_equal,
    perturb,
    relative_error,
    snapshot,
    to_array,
)
from tests.helpers.torchvision_data import copy_without_scale, images, load

# Relative to the largest logit. Measured: 1.1e-6, after 94 convolutions.
TOLERANCE = 1e-4
LOGITS = {"classifier_activation": None, "convention": "torchvision"}


@pytest.fixture(scope="module")
def torchvision():
    """The state dict of the whole network, and its outputs by our names."""
    return load("inception_v3")


@pytest.fixture(scope="module")
def without_side_head(torchvision):
    state, _ = torchvision
    return {k: x for k, x in state.items() if not k.startswith("AuxLogits.")}


@pytest.fixture(scope="module")
def ported(torchvision):
    """The network for images of the full size, with the side head."""
    target = InceptionV3(auxiliary=True, **LOGITS)
    assert port_torch_weights(torchvision[0], target) is target
    return target


@pytest.fixture(scope="module")
def small():
    return InceptionV3(input_shape=(75, 75, 3), **LOGITS)


IMAGES = images(2, 299, 299)


def test_equals_torchvision(ported, torchvision):
    _, expected = torchvision
    counts = [np.prod(weight.shape) for weight in ported.trainable_weights]
    assert sum(counts) == 27_161_264
    for name, output in ported(IMAGES).items():
        logits = expected[name]
        assert relative_error(output, logits) < TOLERANCE
        one, other = logits
        assert relative_error(one, other) > 100 * TOLERANCE
    for name in ("mixed_7", "mixed_10"):
        weight = ported.get_layer(name).weights[0]
        before = to_array(weight)
        perturb(weight)
        actual = ported(IMAGES)
        weight.assign(before)
        error = relative_error(actual["predictions"], expected["predictions"])
        assert error > TOLERANCE
        error = relative_error(actual["auxiliary"], expected["auxiliary"])
        assert (error > TOLERANCE) == (name == "mixed_7")


@pytest.mark.slow
def test_equals_torchvision_at_224(torchvision):
    target = InceptionV3(input_shape=(None, None, 3), **LOGITS)
    port_torch_weights(torchvision[0], target)
    expected = torchvision[1]["224x224"]
    image = images(1, 224, 224)
    weight = target.get_layer("mixed_10").weights[0]
    check_equal(target, image, expected, TOLERANCE, weight)


@pytest.mark.slow
def test_the_wrong_convention_differs(ported, torchvision):
    """Each scale is multiplied into its kernel: only the poolings differ."""
    source = drop_auxiliary(ported)
    target = InceptionV3(classifier_activation=None, convention="paper")
    copy_without_scale(source, target)
    expected = torchvision[1]["predictions"]
    right = to_array(source(IMAGES))
    assert np.max(np.abs(right - expected)) < 0.01
    assert np.max(np.abs(to_array(target(IMAGES)) - expected)) > 1


def test_the_side_head_is_dropped_if_the_target_has_none(torchvision, small):
    state = torchvision[0]
    kernel = small.get_layer("predictions").kernel
    perturb(kernel)
    port_torch_weights(state, small)
    assert_equal(kernel, state["fc.weight"].T)


def test_a_safetensors_file(without_side_head, small, tmp_path):
    path = tmp_path / "inception_v3.safetensors"
    counters = {"fc.num_batches_tracked": np.array(3)}
    save_file({**without_side_head, **counters}, path)
    for given in (path, str(path)):
        port_torch_weights(given, small)
        assert_equal(
            small.get_layer("predictions").bias, without_side_head["fc.bias"]
        )


def test_safetensors_is_needed_for_its_files_only(
    without_side_head, small, monkeypatch
):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    port_torch_weights(without_side_head, small)
    with pytest.raises(ImportError, match="pip install safetensors"):
        port_torch_weights("inception_v3.safetensors", small)


NAME = "Mixed_6b.branch7x7dbl_3.conv.weight"
REJECTED_STATES = {
    "a missing tensor": (
        lambda state: {k: x for k, x in state.items() if k != NAME},
        f'lacks "{NAME}" for `mixed_4/branch_2_conv_2/conv/kernel`.*'
        "Received 471 tensors, expected 472",
    ),
    "extra tensors": (
        lambda state: {**state, "AuxLogits.x": 0, "aux1.x": 0, "Mixed_8.x": 0},
        'without a counterpart in `target`: "aux1.x", "Mixed_8.x". Build',
    ),
    "another shape": (
        lambda state: {**state, NAME: state[NAME].swapaxes(2, 3)},
        rf'"{NAME}".*is \(7, 1, 128, 128\), expected \(1, 7, 128, 128\)',
    ),
    "a list": (
        lambda state: list(state),
        r"Received: state_dict=\['Conv2d_1a_3x3",
    ),
    "a file of torch": (
        lambda state: "inception_v3.pth",
        r"state_dict='inception_v3.pth'. Convert it, or pass torch.load\(",
    ),
    "a file of torch, as a path": (
        lambda state: Path("weights") / "inception_v3.pt",
        "must be a `.safetensors` file",
    ),
}


@pytest.mark.parametrize(
    ("change", "message"), REJECTED_STATES.values(), ids=REJECTED_STATES.keys()
)
def test_a_state_dict_that_does_not_fit_is_rejected(
    change, message, without_side_head, small
):
    before = snapshot(small)
    with pytest.raises(ValueError, match=message):
        port_torch_weights(change(without_side_head), small)
    for old, new in zip(before, small.get_weights(), strict=True):
        assert_equal(new, old)


REJECTED_TARGETS = {
    "another convention": (
        lambda: InceptionV3(input_shape=(75, 75, 3)),
        r'counterpart in `target`: "Conv2d_1a_3x3.bn.weight", .*'
        r'"Mixed_5b.branch5x5_2.bn.weight" and 86 more.*convention',
    ),
    "no top": (
        lambda: InceptionV3(False, input_shape=(75, 75, 3), **LOGITS),
        'in `target`: "fc.weight", "fc.bias". Build .* include_top',
    ),
    "another network": (
        lambda: VGG16Inception(include_top=False, input_shape=(32, 32, 1)),
        "must be a GoogLeNet, InceptionV3.*block_3_1",
    ),
    "a layer": (lambda: keras.layers.Dense(3), "target=<Dense"),
}


@pytest.mark.parametrize(
    ("make", "message"), REJECTED_TARGETS.values(), ids=REJECTED_TARGETS.keys()
)
def test_a_target_that_does_not_fit_is_rejected(
    make, message, without_side_head
):
    with pytest.raises(ValueError, match=message):
        port_torch_weights(without_side_head, make())
