"""The blocks of Inception v3 against numpy, with both kinds of average."""

import numpy as np
import pytest

from keras_inception_layers import (
    InceptionV3BlockA,
    InceptionV3BlockB,
    InceptionV3BlockC,
    InceptionV3BlockD,
    InceptionV3BlockE,
)
from tests.helpers.layer_cases import FILTERS
from tests.helpers.numeric import (
    FLOAT64_TOLERANCE,
    perturb,
    random_images,
    randomize,
    relative_error,
)
from tests.helpers.numpy_layers import (
    chain,
    conv_bn,
    expanded,
    max_pool,
    pad_same,
    windows,
)

POINT, WIDE, TALL = (1, 1), (1, 7), (7, 1)


def halve(x, w):
    return conv_bn(x, w, (3, 3), (2, 2), "valid")


def max_halve(x):
    return max_pool(x, (2, 2), "valid")


def mean(x, count_border):
    """Return the mean over 3 x 3, with or without the zeros of the border."""
    sums = windows(pad_same(x, (3, 3), (1, 1), 0), (3, 3)).sum((-2, -1))
    ones = pad_same(np.ones_like(x), (3, 3), (1, 1), int(count_border))
    return sums / windows(ones, (3, 3)).sum((-2, -1))


def figure_a(x, w, border):
    return [
        chain(x, w, POINT),
        chain(x, w, POINT, (5, 5)),
        chain(x, w, POINT, (3, 3), (3, 3)),
        chain(mean(x, border), w, POINT),
    ]


def figure_b(x, w, border):
    return [
        halve(x, w),
        halve(chain(x, w, POINT, (3, 3)), w),
        max_halve(x),
    ]


def figure_c(x, w, border):
    return [
        chain(x, w, POINT),
        chain(x, w, POINT, WIDE, TALL),
        chain(x, w, POINT, TALL, WIDE, TALL, WIDE),
        chain(mean(x, border), w, POINT),
    ]


def figure_d(x, w, border):
    return [
        halve(chain(x, w, POINT), w),
        halve(chain(x, w, POINT, WIDE, TALL), w),
        max_halve(x),
    ]


def figure_e(x, w, border):
    return [
        chain(x, w, POINT),
        *expanded(x, w, POINT),
        *expanded(x, w, POINT, (3, 3)),
        chain(mean(x, border), w, POINT),
    ]


BLOCKS = {
    "A": (InceptionV3BlockA, FILTERS, figure_a),
    "B": (InceptionV3BlockB, ((4,), (2, 3)), figure_b),
    "C": (InceptionV3BlockC, FILTERS, figure_c),
    "D": (InceptionV3BlockD, ((2, 4), (3, 5)), figure_d),
    "E": (InceptionV3BlockE, FILTERS, figure_e),
}
AVERAGING = ("A", "C", "E")


def check(layer, figure, border):
    """Compare a layer with its figure; return the images and the output."""
    images = random_images((2, 8, 7, 3)).astype("float64")
    layer.build(images.shape)
    randomize(layer)
    weights = iter(layer.get_weights())
    branches = figure(images, weights, border)
    assert next(weights, None) is None
    expected = np.concatenate(branches, axis=-1)
    assert relative_error(layer(images), expected) < FLOAT64_TOLERANCE
    swapped = np.concatenate(branches[::-1], axis=-1)
    assert relative_error(layer(images), swapped) > FLOAT64_TOLERANCE
    return images, expected


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", BLOCKS)
def test_block_equals_its_figure_in_numpy(name):
    block, filters, figure = BLOCKS[name]
    layer = block(filters, dtype="float64")
    images, expected = check(layer, figure, border=False)
    perturb(layer.weights[-1])
    assert relative_error(layer(images), expected) > FLOAT64_TOLERANCE


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", AVERAGING)
def test_count_border_includes_the_zeros_of_the_border(name):
    block, filters, figure = BLOCKS[name]
    layer = block(filters, count_border=True, dtype="float64")
    images, expected = check(layer, figure, border=True)
    other = block(filters, dtype="float64")
    other.build(images.shape)
    other.set_weights(layer.get_weights())
    assert relative_error(other(images), expected) > 0.01
    inside = (slice(None), slice(1, -1), slice(1, -1), slice(-2, None))
    error = relative_error(other(images)[inside], expected[inside])
    assert error < FLOAT64_TOLERANCE
