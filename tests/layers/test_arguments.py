"""Arguments of the layers: valid ones are accepted, others are rejected."""

import keras
import numpy as np
import pytest

from keras_inception_layers import (
    AuxiliaryClassifier,
    ConvBN,
    InceptionBlock,
    InceptionResNetV2BlockA,
    InceptionResNetV2BlockB,
    InceptionV1Block,
    InceptionV2Block,
    InceptionV3AuxiliaryClassifier,
    InceptionV3Block,
    InceptionV3BlockA,
    InceptionV3BlockB,
    InceptionV3BlockC,
    InceptionV3BlockD,
    InceptionV3BlockE,
    InceptionV3ExpandedBlock,
    InceptionV4ReductionA,
)
from tests.helpers.layer_cases import FILTERS

CONV = {"filters": 4, "kernel_size": 3}
BLOCKS = (
    InceptionV1Block,
    InceptionV2Block,
    InceptionV3Block,
    InceptionV3BlockA,
    InceptionV3BlockC,
    InceptionV3BlockE,
    InceptionV3ExpandedBlock,
)
AVERAGING = (InceptionV3BlockA, InceptionV3BlockC, InceptionV3BlockE)
REDUCTIONS = {
    InceptionV3BlockB: ((4,), (2, 3)),
    InceptionV3BlockD: ((2, 4), (3, 5)),
}
SHARED = {
    "data_format": (["channels_last", "channels_first"], ["NHWC", 1]),
    "momentum": ([0.0, 0.9, 1], [-0.1, 1.5]),
    "epsilon": ([1e-7, 1], [0, -1e-3]),
    "activation": ([None, False, "relu", keras.ops.tanh], ["unheard-of", 3]),
    "use_bias": ([None, True, False], []),
    "kernel_initializer": (["zeros", "he_normal"], ["unheard-of"]),
    "bias_initializer": (["zeros"], ["unheard-of"]),
    "kernel_regularizer": ([None, "l2"], ["unheard-of"]),
    "bias_regularizer": ([None, "l2"], ["unheard-of"]),
    "kernel_constraint": ([None, "non_neg"], ["unheard-of"]),
    "bias_constraint": ([None, "non_neg"], ["unheard-of"]),
    "dtype": (["float16", "mixed_bfloat16"], ["float12"]),
    "name": (["a", None], ["a/b"]),
    "unheard_of": ([], [1]),
}
# All blocks pass these on in one place: InceptionV1Block has every value.
ONE_VALUE = {
    name: (right[:1], wrong[:1]) for name, (right, wrong) in SHARED.items()
}
CONV_ONLY = {
    "filters": ([1, np.int64(4)], [0, -1, 2.5, True, "4", None]),
    "kernel_size": ([3, (1, 3), [3, 1]], [0, (3,), (3, 0), "3"]),
    "strides": ([1, (2, 1)], [0, (1, 2, 3)]),
    "padding": (
        ["same", "valid", 3, np.int64(1)],
        ["full", None, 0, -1, True, (1, 1), 1.0],
    ),
}
FILTERS_ONLY = {
    "branch_filters": (
        [FILTERS, [list(row) for row in FILTERS]],
        [
            None,
            5,
            "abcd",
            FILTERS[:3],
            ((2,), (3,), (2, 3), (2,)),
            ((2,), (3, 0), (2, 3), (2,)),
            ((2,), (3, 4.5), (2, 3), (2,)),
        ],
    )
}
RESIDUAL = {"branch_filters": ((2,), (2, 3, 4), (3,)), "residual_scale": 0.1}
RESIDUAL_ONLY = {
    "branch_filters": (
        [[[2], [2, 3, 4], [3]]],
        [None, ((2,), (2, 3, 4)), ((2,), (2, 3, 4), (0,))],
    ),
    "residual_scale": ([1, np.float32(0.5)], [0, -0.1, "0.1", None]),
    "output_activation": (
        [None, False, "relu", keras.ops.tanh],
        ["unheard-of", keras.layers.PReLU(name="slopes")],
    ),
}
CLASSIFIER = "classifier_activation"
HEAD_ONLY = {
    "classes": ([1, 1000], [0, -1, 2.5, True, None]),
    CLASSIFIER: ([None, False, "softmax"], ["unheard-of"]),
    "dropout": ([0, 0.5], [-0.1, 1.5]),
    "seed": ([None, 3], ["three"]),
    "adaptive_pooling": ([True, False], []),
}


KERNEL_SIZES = {
    "kernel_sizes": ([(3, 5), [7, 7]], [3, (3,), (3, 0), (3, 2.5), "35"])
}
COUNT_BORDER = {"count_border": ([True, False], [])}


def tables():
    """Yield each layer, its required arguments, and the values of others."""
    yield ConvBN, CONV, CONV_ONLY | SHARED
    for block in BLOCKS:
        values = FILTERS_ONLY | ONE_VALUE
        if block is InceptionV1Block:
            values |= SHARED
        if block in AVERAGING:
            values |= COUNT_BORDER
        if block in (InceptionV1Block, InceptionV3Block):
            values |= KERNEL_SIZES
        yield block, {"branch_filters": FILTERS}, values
    for block, filters in REDUCTIONS.items():
        specific = {
            "branch_filters": ([filters], [FILTERS, filters[:1], 5]),
            "count_border": ([], [True]),
        }
        yield block, {"branch_filters": filters}, specific | ONE_VALUE
    yield InceptionResNetV2BlockB, RESIDUAL, RESIDUAL_ONLY | ONE_VALUE
    yield AuxiliaryClassifier, {"classes": 5}, HEAD_ONLY | ONE_VALUE
    specific = {name: HEAD_ONLY[name] for name in ("classes", CLASSIFIER)}
    yield InceptionV3AuxiliaryClassifier, {"classes": 5}, specific | ONE_VALUE


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("layer", "base", "name", "right", "wrong"),
    [
        pytest.param(*row[:2], name, *pair, id=f"{row[0].__name__} {name}")
        for row in tables()
        for name, pair in row[2].items()
    ],
)
def test_values_of_an_argument(layer, base, name, right, wrong):
    for value in right:
        config = layer(**{**base, name: value}).get_config()
        assert layer.from_config(config).get_config() == config
    for value in wrong:
        with pytest.raises(ValueError) as error:
            layer(**{**base, name: value})
        message = str(error.value).lower()
        received = [str(x).lower() for x in keras.tree.flatten(value)]
        assert any(x in message for x in received), value


def conv(name, **options):
    return keras.layers.Conv2D(2, 1, name=name, **options)


SHARED_LAYER = conv("shared")


@pytest.mark.one_backend
@pytest.mark.parametrize(
    ("branches", "message"),
    [
        (None, "Received: branches=None"),
        ([], r"Received: branches=\[\]"),
        ([[conv("a")], []], "non-empty list of non-empty lists"),
        ([conv("a")], "non-empty list of non-empty lists"),
        ([["relu"]], "Received in branch 0: 'relu'"),
        ([[SHARED_LAYER], [SHARED_LAYER]], '"shared" again in branch 1'),
        ([[conv("a"), conv("a")]], '"a" again in branch 0'),
        ([[conv("a")], [conv("a")]], '"a" again in branch 1'),
    ],
)
def test_inception_block_rejects_invalid_branches(branches, message):
    with pytest.raises(ValueError, match=message):
        InceptionBlock(branches)
    InceptionBlock([[conv("a"), conv("b")], [conv("c")]])


class Doubled(keras.layers.Layer):
    """A user's layer without `compute_output_shape`."""

    def call(self, inputs):
        return keras.ops.concatenate([inputs, inputs], axis=-1)


class Cubed(keras.layers.Layer):
    """The same, used as an activation."""

    def call(self, inputs):
        return inputs**3


@pytest.mark.parametrize("size", [8, None])
def test_a_layer_without_compute_output_shape_is_accepted(size):
    block = InceptionBlock([[Doubled(), conv("a")], [conv("b"), Doubled()]])
    assert block(keras.Input((size, size, 3))).shape == (None, size, size, 6)
    layer = ConvBN(4, 3, activation=Cubed())
    assert layer(keras.Input((size, size, 3))).shape == (None, size, size, 4)


def test_inception_block_rejects_an_unknown_data_format():
    with pytest.raises(ValueError, match="data_format='NHWC'"):
        InceptionBlock([[conv("a")]], data_format="NHWC")


@pytest.mark.parametrize(
    "other",
    [
        conv("strided", strides=2),
        keras.layers.Flatten(),
        keras.layers.Cropping2D(1),
    ],
    ids=lambda layer: layer.name,
)
def test_branches_of_different_sizes_are_rejected(other):
    block = InceptionBlock([[conv("a")], [other]], name="mixed")
    with pytest.raises(ValueError, match='"mixed" cannot be concatenated'):
        block.build((None, 8, 8, 3))


def test_residual_block_rejects_other_channels():
    block = InceptionResNetV2BlockA(
        ((2,), (2, 3), (2, 3, 4), (3,)), 0.17, name="block"
    )
    with pytest.raises(ValueError, match=r'"block" adds.*\(None, 8, 8, 4\)'):
        block.build((None, 8, 8, 4))
    block.build((None, 8, 8, 3))


def test_reduction_rejects_rows_of_other_blocks():
    with pytest.raises(ValueError, match=r"form \(\(int,\), \(int, int, int\)"):
        InceptionV4ReductionA(FILTERS)


@pytest.mark.parametrize(
    "shape",
    [(None, None, 8, 3), (None, 8, None, 3), (None, 4, 8, 3), (None, 8)],
)
def test_auxiliary_classifier_rejects_a_shape(shape):
    with pytest.raises(ValueError) as error:
        AuxiliaryClassifier(5, name="head").build(shape)
    assert f"Received the channels_last input shape {shape}" in str(error.value)
    AuxiliaryClassifier(5).build((None, 5, 5, 3))


def test_adaptive_pooling_accepts_any_known_size():
    head = AuxiliaryClassifier(5, adaptive_pooling=True)
    with pytest.raises(ValueError, match="of known height and width"):
        head.build((None, None, 8, 3))
    head.build((None, 1, 3, 2))
    # Expected: the output of torch.nn.AdaptiveAvgPool2d(4).
    pooled = head.pool(np.array([1.0, 2.0, 4.0]).reshape(1, 1, 3, 1))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(pooled)[0, ..., 0], 4 * [[1, 1.5, 3, 4]]
    )


@pytest.mark.parametrize("shape", [(None, 16, 17, 3), (None, 17, 8, 3)])
def test_auxiliary_classifier_of_v3_rejects_a_shape(shape):
    with pytest.raises(ValueError) as error:
        InceptionV3AuxiliaryClassifier(5).build(shape)
    message = (
        f"at least 17 x 17. Received the channels_last input shape {shape}"
    )
    assert message in str(error.value)
    InceptionV3AuxiliaryClassifier(5).build((None, None, 17, 3))
