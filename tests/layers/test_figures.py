"""The blocks against their figures in numpy, with both kinds of average."""

import numpy as np
import pytest

import keras_inception_layers as plugin
from tests.helpers.layer_cases import FILTERS
from tests.helpers.numeric import (
    FLOAT64_TOLERANCE,
    perturb,
    random_images,
    randomize,
    relative_error,
)
from tests.helpers.numpy_layers import (
    conv_bn,
    max_pool,
    pad_same,
    windows,
)


def conv(*size):
    return lambda x, w, border: conv_bn(x, w, size)


def split(x, w, border):
    parts = [conv_bn(x, w, (1, 3)), conv_bn(x, w, (3, 1))]
    return np.concatenate(parts, axis=-1)


def halve(x, w, border):
    return conv_bn(x, w, (3, 3), (2, 2), "valid")


def max_halve(x, w, border):
    return max_pool(x, (2, 2), "valid")


def maximum(x, w, border):
    return max_pool(x)


def mean(x, w, border):
    """Return the mean over 3 x 3, with or without the zeros of the border."""
    sums = windows(pad_same(x, (3, 3), (1, 1), 0), (3, 3)).sum((-2, -1))
    ones = pad_same(np.ones_like(x), (3, 3), (1, 1), int(border))
    return sums / windows(ones, (3, 3)).sum((-2, -1))


POINT, SQUARE, WIDE, TALL = conv(1, 1), conv(3, 3), conv(1, 7), conv(7, 1)
# Filters, and the steps of each branch.
BLOCKS = {
    "V1Block": (
        FILTERS,
        [[POINT], [POINT, SQUARE], [POINT, conv(5, 5)], [maximum, POINT]],
    ),
    "V2Block": (
        FILTERS,
        [[POINT], [POINT, SQUARE], [POINT, SQUARE, SQUARE], [maximum, POINT]],
    ),
    "V3Block": (
        FILTERS,
        [
            [POINT],
            [POINT, conv(1, 3), conv(3, 1)],
            [POINT, conv(1, 5), conv(5, 1)],
            [maximum, POINT],
        ],
    ),
    "V3ExpandedBlock": (
        FILTERS,
        [[POINT], [POINT, split], [POINT, SQUARE, split], [maximum, POINT]],
    ),
    "V3BlockA": (
        FILTERS,
        [
            [POINT],
            [POINT, conv(5, 5)],
            [POINT, SQUARE, SQUARE],
            [mean, POINT],
        ],
    ),
    "V3BlockB": (
        ((4,), (2, 3)),
        [[halve], [POINT, SQUARE, halve], [max_halve]],
    ),
    "V3BlockC": (
        FILTERS,
        [
            [POINT],
            [POINT, WIDE, TALL],
            [POINT, TALL, WIDE, TALL, WIDE],
            [mean, POINT],
        ],
    ),
    "V3BlockD": (
        ((2, 4), (3, 5)),
        [[POINT, halve], [POINT, WIDE, TALL, halve], [max_halve]],
    ),
    "V3BlockE": (
        FILTERS,
        [[POINT], [POINT, split], [POINT, SQUARE, split], [mean, POINT]],
    ),
}


def block_of(name, **options):
    make = getattr(plugin, f"Inception{name}")
    return make(BLOCKS[name][0], dtype="float64", **options)


def check(name, layer, border):
    """Compare a layer with its figure; return the images and the output."""
    images = random_images((2, 8, 7, 3)).astype("float64")
    layer.build(images.shape)
    randomize(layer)
    weights = iter(layer.get_weights())
    branches = []
    for steps in BLOCKS[name][1]:
        x = images
        for step in steps:
            x = step(x, weights, border)
        branches.append(x)
    assert next(weights, None) is None
    expected = np.concatenate(branches, axis=-1)
    assert relative_error(layer(images), expected) < FLOAT64_TOLERANCE
    swapped = np.concatenate(branches[::-1], axis=-1)
    assert relative_error(layer(images), swapped) > FLOAT64_TOLERANCE
    return images, expected


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", BLOCKS)
def test_block_equals_its_figure_in_numpy(name):
    layer = block_of(name)
    images, expected = check(name, layer, border=False)
    perturb(layer.weights[-1])
    assert relative_error(layer(images), expected) > FLOAT64_TOLERANCE


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ("V3BlockA", "V3BlockC", "V3BlockE"))
def test_count_border_includes_the_zeros_of_the_border(name):
    layer, other = block_of(name, count_border=True), block_of(name)
    images, expected = check(name, layer, border=True)
    other.build(images.shape)
    other.set_weights(layer.get_weights())
    assert relative_error(other(images), expected) > 0.01
    inside = (slice(None), slice(1, -1), slice(1, -1), slice(-2, None))
    error = relative_error(other(images)[inside], expected[inside])
    assert error < FLOAT64_TOLERANCE
