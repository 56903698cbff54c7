"""One table of all registered layers: arguments, input and output shapes.

`every_config_case`, `every_option_case` and `cases_with` parametrize a test by
it.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import keras
import pytest

from keras_inception_layers import (
    AuxiliaryClassifier,
    ConvBN,
    InceptionBlock,
    InceptionResNetV2BlockA,
    InceptionResNetV2BlockB,
    InceptionResNetV2BlockC,
    InceptionResNetV2ReductionA,
    InceptionResNetV2ReductionB,
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
    InceptionV4BlockA,
    InceptionV4BlockB,
    InceptionV4BlockC,
    InceptionV4ReductionA,
    InceptionV4ReductionB,
    InceptionV4Stem,
)

FILTERS = ((2,), (3, 4), (2, 3), (2,))
DATA_FORMATS = ("channels_last", "channels_first")


class LayerCase(NamedTuple):
    """One layer and its expected shapes and numbers of weights.

    Args:
        make: returns a new layer; accepts the arguments of every Keras layer.
        images: input shape, channels last.
        outputs: output shape, channels last.
        trainable: number of trainable weights.
        non_trainable: number of non-trainable weights, the moving statistics.
    """

    make: Callable[..., keras.layers.Layer]
    images: tuple[int, ...]
    outputs: tuple[int, ...]
    trainable: int
    non_trainable: int


def block_of_any_layers(data_format=None, dtype=None, **kwargs):
    """Return an `InceptionBlock` of Keras layers, a `ConvBN` and a block."""
    options = {"data_format": data_format, "dtype": dtype}
    inner = [[ConvBN(2, (1, 3), **options)], [ConvBN(2, (3, 1), **options)]]
    branches = [
        [keras.layers.Conv2D(2, 1, **options)],
        [
            keras.layers.AveragePooling2D(3, 1, "same", **options),
            ConvBN(3, 1, **options),
        ],
        [InceptionBlock(inner, **options)],
    ]
    return InceptionBlock(branches, **options, **kwargs)


CASES = {
    "ConvBN": LayerCase(
        partial(ConvBN, 4, 3), (2, 6, 7, 3), (2, 6, 7, 4), 2, 2
    ),
    "ConvBN, strided": LayerCase(
        partial(ConvBN, 4, (3, 1), strides=2), (2, 6, 7, 3), (2, 3, 4, 4), 2, 2
    ),
    "ConvBN, valid": LayerCase(
        partial(ConvBN, 4, (3, 2), padding="valid", activation=None),
        (2, 6, 7, 3),
        (2, 4, 6, 4),
        2,
        2,
    ),
    "ConvBN, with a scale": LayerCase(
        partial(ConvBN, 4, 3, scale=True), (2, 6, 7, 3), (2, 6, 7, 4), 3, 2
    ),
    "ConvBN, no batch norm": LayerCase(
        partial(ConvBN, 4, 3, use_batch_norm=False),
        (2, 6, 7, 3),
        (2, 6, 7, 4),
        2,
        0,
    ),
    "ConvBN, padded": LayerCase(
        partial(ConvBN, 4, 3, padding=3), (2, 6, 7, 3), (2, 10, 11, 4), 2, 2
    ),
    "ConvBN, PReLU": LayerCase(
        partial(
            ConvBN, 4, 3, activation=keras.layers.PReLU(shared_axes=[1, 2, 3])
        ),
        (2, 6, 7, 3),
        (2, 6, 7, 4),
        3,
        2,
    ),
    "InceptionBlock": LayerCase(
        block_of_any_layers, (2, 6, 7, 3), (2, 6, 7, 9), 8, 6
    ),
    "InceptionV1Block": LayerCase(
        partial(InceptionV1Block, FILTERS), (2, 6, 7, 3), (2, 6, 7, 11), 12, 12
    ),
    "InceptionV2Block": LayerCase(
        partial(InceptionV2Block, FILTERS), (2, 6, 7, 3), (2, 6, 7, 11), 14, 14
    ),
    "InceptionV3Block": LayerCase(
        partial(InceptionV3Block, FILTERS), (2, 6, 7, 3), (2, 6, 7, 11), 16, 16
    ),
    "InceptionV3Block, other kernels": LayerCase(
        partial(InceptionV3Block, FILTERS, kernel_sizes=(5, 7)),
        (2, 6, 7, 3),
        (2, 6, 7, 11),
        16,
        16,
    ),
    "InceptionV3ExpandedBlock": LayerCase(
        partial(InceptionV3ExpandedBlock, FILTERS),
        (2, 6, 7, 3),
        (2, 6, 7, 18),
        18,
        18,
    ),
    "InceptionV3BlockA": LayerCase(
        partial(InceptionV3BlockA, FILTERS), (2, 6, 7, 3), (2, 6, 7, 11), 14, 14
    ),
    "InceptionV3BlockA, border counted": LayerCase(
        partial(InceptionV3BlockA, FILTERS, count_border=True),
        (2, 6, 7, 3),
        (2, 6, 7, 11),
        14,
        14,
    ),
    "InceptionV3BlockB": LayerCase(
        partial(InceptionV3BlockB, ((4,), (2, 3))),
        (2, 6, 7, 3),
        (2, 2, 3, 10),
        8,
        8,
    ),
    "InceptionV3BlockC": LayerCase(
        partial(InceptionV3BlockC, FILTERS), (2, 6, 7, 3), (2, 6, 7, 11), 20, 20
    ),
    "InceptionV3BlockD": LayerCase(
        partial(InceptionV3BlockD, ((2, 4), (3, 5))),
        (2, 6, 7, 3),
        (2, 2, 3, 12),
        12,
        12,
    ),
    "InceptionV3BlockE": LayerCase(
        partial(InceptionV3BlockE, FILTERS), (2, 6, 7, 3), (2, 6, 7, 18), 18, 18
    ),
    "InceptionResNetV2BlockA": LayerCase(
        partial(InceptionResNetV2BlockA, ((2,), (2, 3), (2, 3, 4), (3,)), 0.17),
        (2, 6, 7, 3),
        (2, 6, 7, 3),
        14,
        12,
    ),
    "InceptionResNetV2BlockB": LayerCase(
        partial(InceptionResNetV2BlockB, ((2,), (2, 3, 4), (3,)), 0.1),
        (2, 6, 7, 3),
        (2, 6, 7, 3),
        10,
        8,
    ),
    "InceptionResNetV2BlockC": LayerCase(
        partial(InceptionResNetV2BlockC, ((2,), (2, 3, 4), (3,)), 0.2),
        (2, 6, 7, 3),
        (2, 6, 7, 3),
        10,
        8,
    ),
    "InceptionResNetV2BlockC, the last": LayerCase(
        partial(InceptionResNetV2BlockC, ((2,), (2, 3, 4), (3,)), 1.0, None),
        (2, 6, 7, 3),
        (2, 6, 7, 3),
        10,
        8,
    ),
    "InceptionResNetV2ReductionA": LayerCase(
        partial(InceptionResNetV2ReductionA, ((4,), (2, 3, 4))),
        (2, 6, 7, 3),
        (2, 2, 3, 11),
        8,
        8,
    ),
    "InceptionResNetV2ReductionB": LayerCase(
        partial(InceptionResNetV2ReductionB, ((2, 3), (3, 4), (2, 3, 5))),
        (2, 6, 7, 3),
        (2, 2, 3, 15),
        14,
        14,
    ),
    "InceptionV4Stem": LayerCase(
        partial(InceptionV4Stem, ((2, 3, 4), (3,), (2, 3), (2, 3, 2, 4), (5,))),
        (2, 35, 37, 3),
        (2, 2, 2, 12),
        22,
        22,
    ),
    "InceptionV4BlockA": LayerCase(
        partial(InceptionV4BlockA, ((2,), (3, 4), (2, 3, 4), (2,))),
        (2, 6, 7, 3),
        (2, 6, 7, 12),
        14,
        14,
    ),
    "InceptionV4BlockB": LayerCase(
        partial(InceptionV4BlockB, ((2,), (3, 4, 2), (2, 3, 4, 3, 2), (2,))),
        (2, 6, 7, 3),
        (2, 6, 7, 8),
        20,
        20,
    ),
    "InceptionV4BlockC": LayerCase(
        partial(InceptionV4BlockC, ((2,), (3, 4), (2, 3, 4, 3), (2,))),
        (2, 6, 7, 3),
        (2, 6, 7, 18),
        20,
        20,
    ),
    "InceptionV4ReductionA": LayerCase(
        partial(InceptionV4ReductionA, ((4,), (2, 3, 4))),
        (2, 6, 7, 3),
        (2, 2, 3, 11),
        8,
        8,
    ),
    "InceptionV4ReductionB": LayerCase(
        partial(InceptionV4ReductionB, ((2, 3), (3, 4, 2, 4))),
        (2, 6, 7, 3),
        (2, 2, 3, 10),
        12,
        12,
    ),
    "AuxiliaryClassifier": LayerCase(
        partial(AuxiliaryClassifier, 5), (2, 11, 14, 3), (2, 5), 6, 2
    ),
    "AuxiliaryClassifier, adaptive": LayerCase(
        partial(AuxiliaryClassifier, 5, adaptive_pooling=True),
        (2, 11, 14, 3),
        (2, 5),
        6,
        2,
    ),
    "InceptionV3AuxiliaryClassifier": LayerCase(
        partial(InceptionV3AuxiliaryClassifier, 5), (2, 17, 20, 3), (2, 5), 6, 4
    ),
}


def ordered(shape, data_format):
    """Return a channels-last shape in the order of the data format."""
    if data_format == "channels_last" or len(shape) == 2:
        return shape
    batch, height, width, channels = shape
    return (batch, channels, height, width)


# One layer of each kind: a unit, parallel and nested branches, a residual sum,
# a reduction, a classifier.
KINDS = (
    "ConvBN, padded",
    "InceptionV3ExpandedBlock",
    "InceptionResNetV2BlockC",
    "InceptionV3BlockB",
    "AuxiliaryClassifier",
)


def cases_or_kinds(cases):
    """Return a mark that runs every case, other backends one of each kind."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(
                case,
                id=name,
                marks=[] if name in KINDS else pytest.mark.one_backend,
            )
            for name, case in cases.items()
        ],
    )


def cases_with(name, values, cases=CASES):
    """Return a mark that runs every case with one value, `KINDS` with each.

    The other cases take the values in turn, under TensorFlow only.

    Args:
        name: the name of the second parameter.
        values: its values by their ids.
        cases: the cases. Defaults to all.
    """
    turns = itertools.cycle(values)
    rows = []
    for key, case in cases.items():
        is_kind = key in KINDS
        rows += [
            pytest.param(
                case,
                values[value],
                id=f"{key}-{value}",
                marks=[] if is_kind else pytest.mark.one_backend,
            )
            for value in (values if is_kind else [next(turns)])
        ]
    return pytest.mark.parametrize(("case", name), rows)


# Every case under TensorFlow, one of each kind under the other backends: for
# what Keras does alike under all of them.
every_config_case = cases_or_kinds(CASES)
# A plain `InceptionBlock` passes no options on: its children are the user's.
OPTION_CASES = {k: case for k, case in CASES.items() if k != "InceptionBlock"}
every_option_case = cases_or_kinds(OPTION_CASES)


def descendants(layer):
    """Yield the layers within a layer, at any depth."""
    for child in getattr(layer, "layers", ()):
        yield child
        yield from descendants(child)


def leaves(layer):
    """Return the layers within a layer that have no layers within them."""
    within = layer._flatten_layers(include_self=False)
    return [
        x
        for x in within
        if len(list(x._flatten_layers())) == 1
        and not isinstance(x, keras.layers.InputLayer)
    ]


def model_of_layers(names):
    """Return a model with one output per named layer of the table."""
    inputs = keras.Input((27, 30, 3))
    outputs = [CASES[name].make()(inputs) for name in names]
    return keras.Model(inputs, outputs)
