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

import keras_inception_layers as plugin
from keras_inception_layers import ConvBN, InceptionBlock

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


CASES: dict[str, LayerCase] = {}
CLASSES = {**vars(plugin), "InceptionBlock": block_of_any_layers}


def add(name, outputs, weights, *arguments, images=(6, 7, 3), **options):
    """Add a case of the class that the name starts with.

    Args:
        name: the class, and what is special about the case.
        outputs: output shape of one image.
        weights: numbers of trainable and of non-trainable weights.
        *arguments: those of the layer.
        images: input shape of one image.
        **options: further arguments of the layer.
    """
    make = partial(CLASSES[name.split(",")[0]], *arguments, **options)
    CASES[name] = LayerCase(make, (2, *images), (2, *outputs), *weights)


PRELU = keras.layers.PReLU(shared_axes=[1, 2, 3])
add("ConvBN", (6, 7, 4), (2, 2), 4, 3)
add("ConvBN, strided", (3, 4, 4), (2, 2), 4, (3, 1), strides=2)
add(
    *("ConvBN, valid", (4, 6, 4), (2, 2), 4, (3, 2)),
    padding="valid",
    activation=None,
)
add("ConvBN, with a scale", (6, 7, 4), (3, 2), 4, 3, scale=True)
add("ConvBN, no batch norm", (6, 7, 4), (2, 0), 4, 3, use_batch_norm=False)
add("ConvBN, padded", (10, 11, 4), (2, 2), 4, 3, padding=3)
add("ConvBN, PReLU", (6, 7, 4), (3, 2), 4, 3, activation=PRELU)
add("InceptionBlock", (6, 7, 9), (8, 6))

add("InceptionV1Block", (6, 7, 11), (12, 12), FILTERS)
add("InceptionV2Block", (6, 7, 11), (14, 14), FILTERS)
add("InceptionV3Block", (6, 7, 11), (16, 16), FILTERS)
add(
    *("InceptionV3Block, other kernels", (6, 7, 11), (16, 16), FILTERS),
    kernel_sizes=(5, 7),
)
add("InceptionV3ExpandedBlock", (6, 7, 18), (18, 18), FILTERS)
add("InceptionV3BlockA", (6, 7, 11), (14, 14), FILTERS)
add(
    *("InceptionV3BlockA, border counted", (6, 7, 11), (14, 14), FILTERS),
    count_border=True,
)
add("InceptionV3BlockB", (2, 3, 10), (8, 8), ((4,), (2, 3)))
add("InceptionV3BlockC", (6, 7, 11), (20, 20), FILTERS)
add("InceptionV3BlockD", (2, 3, 12), (12, 12), ((2, 4), (3, 5)))
add("InceptionV3BlockE", (6, 7, 18), (18, 18), FILTERS)

rows = ((2,), (2, 3), (2, 3, 4), (3,))
add("InceptionResNetV2BlockA", (6, 7, 3), (14, 12), rows, 0.17)
rows = ((2,), (2, 3, 4), (3,))
add("InceptionResNetV2BlockB", (6, 7, 3), (10, 8), rows, 0.1)
add("InceptionResNetV2BlockC", (6, 7, 3), (10, 8), rows, 0.2)
add("InceptionResNetV2BlockC, the last", (6, 7, 3), (10, 8), rows, 1.0, None)
rows = ((4,), (2, 3, 4))
add("InceptionResNetV2ReductionA", (2, 3, 11), (8, 8), rows)
add("InceptionV4ReductionA", (2, 3, 11), (8, 8), rows)
rows = ((2, 3), (3, 4), (2, 3, 5))
add("InceptionResNetV2ReductionB", (2, 3, 15), (14, 14), rows)

rows = ((2, 3, 4), (3,), (2, 3), (2, 3, 2, 4), (5,))
add("InceptionV4Stem", (2, 2, 12), (22, 22), rows, images=(35, 37, 3))
rows = ((2,), (3, 4), (2, 3, 4), (2,))
add("InceptionV4BlockA", (6, 7, 12), (14, 14), rows)
rows = ((2,), (3, 4, 2), (2, 3, 4, 3, 2), (2,))
add("InceptionV4BlockB", (6, 7, 8), (20, 20), rows)
rows = ((2,), (3, 4), (2, 3, 4, 3), (2,))
add("InceptionV4BlockC", (6, 7, 18), (20, 20), rows)
add("InceptionV4ReductionB", (2, 3, 10), (12, 12), ((2, 3), (3, 4, 2, 4)))

add("AuxiliaryClassifier", (5,), (6, 2), 5, images=(11, 14, 3))
add(
    *("AuxiliaryClassifier, adaptive", (5,), (6, 2), 5),
    adaptive_pooling=True,
    images=(11, 14, 3),
)
add("InceptionV3AuxiliaryClassifier", (5,), (6, 4), 5, images=(17, 20, 3))


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
