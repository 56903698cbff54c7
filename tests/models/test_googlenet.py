"""GoogLeNet compared with the paper's table 1, written out in numpy.

torchvision's convention is compared with torchvision's own outputs in
tests/porting/test_torch_googlenet.py.
"""

import keras
import numpy as np
import pytest

from keras_inception_layers import GoogLeNet
from tests.helpers.numeric import (
    FLOAT64_TOLERANCE,
    check_equal,
    random_images,
    randomize,
)
from tests.helpers.numpy_layers import conv_bn, max_pool

# Without batch normalization, in float64 under any backend. Measured through
# 22 layers: 2.4e-15; with batch normalization, in float32 under torch, 3.6e-7.
PLAIN_TOLERANCE = 1e-13
# Columns of the table: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
TABLE_1 = """
    convolution 7x7/2
    max pool
    convolution 1x1
    convolution 3x3
    max pool
    3a   64   96  128   16   32   32
    3b  128  128  192   32   96   64
    max pool
    4a  192   96  208   16   48   64
    4b  160  112  224   24   64   64
    4c  128  128  256   24   64   64
    4d  112  144  288   32   64   64
    4e  256  160  320   32  128  128
    max pool
    5a  256  160  320   32  128  128
    5b  384  192  384   48  128  128
"""


def googlenet(x, weights, normalized):
    """Return the last feature maps, computed row by row from the table."""

    def conv(x, size, strides=1, filters=None):
        kernel, shift = next(weights), next(weights)
        assert filters in (None, kernel.shape[3])
        if normalized:
            statistics = [next(weights), next(weights)]
        else:  # statistics that leave only the shift
            statistics = [np.zeros(1), np.ones(1) - 1e-3]
        one_unit = iter([kernel, shift, *statistics])
        return conv_bn(x, one_unit, (size, size), (strides, strides))

    for row in TABLE_1.strip().splitlines():
        name, *columns = row.split()
        if name == "max":
            x = max_pool(x, (2, 2))
        elif name == "convolution":
            size, _, strides = columns[0].partition("/")
            x = conv(x, int(size[0]), int(strides or 1))
        else:
            a, b, c, d, e, f = map(int, columns)
            x = np.concatenate(
                [
                    conv(x, 1, filters=a),
                    conv(conv(x, 1, filters=b), 3, filters=c),
                    conv(conv(x, 1, filters=d), 5, filters=e),
                    conv(max_pool(x), 1, filters=f),
                ],
                axis=-1,
            )
    return x


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    ("use_batch_norm", "tolerance"),
    [
        (False, PLAIN_TOLERANCE),
        pytest.param(True, FLOAT64_TOLERANCE, marks=pytest.mark.one_backend),
    ],
)
def test_equals_table_1_in_numpy(use_batch_norm, tolerance):
    keras.config.set_dtype_policy("float64")
    model = GoogLeNet(
        include_top=False,
        input_shape=(65, 70, 3),
        use_batch_norm=use_batch_norm,
    )
    randomize(model)
    images = random_images((1, 65, 70, 3)).astype("float64")
    weights = iter(model.get_weights())
    expected = googlenet(images, weights, use_batch_norm)
    assert next(weights, None) is None
    weight = model.get_layer("inception_4c").weights[-1]
    check_equal(model, images, expected, tolerance, weight)


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("convention", "use_batch_norm", "expected", "trainable"),
    [
        ("paper", None, False, 13_378_280),
        ("paper", True, True, 13_378_280),
        ("torchvision", None, True, 13_004_888),
        ("torchvision", False, False, 12_997_352),
    ],
)
def test_batch_norm_and_parameters_with_side_heads(
    convention, use_batch_norm, expected, trainable
):
    model = GoogLeNet(
        auxiliary=True, convention=convention, use_batch_norm=use_batch_norm
    )
    actual = {
        layer.use_batch_norm
        for layer in model._flatten_layers()
        if hasattr(layer, "use_batch_norm")
    }
    assert actual == {expected}
    weights = model.trainable_weights
    assert sum(np.prod(weight.shape) for weight in weights) == trainable
