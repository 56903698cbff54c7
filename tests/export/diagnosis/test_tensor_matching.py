"""Which tensor is a layer's output, on tensors made by hand."""

import numpy as np
import pytest

from keras_inception_export.diagnosis.layer_reference import TensorLocation
from keras_inception_export.diagnosis.tensor_matching import (
    OutputReader,
    locate_tensors,
)
from tests.helpers.references import reference_of

VALUES = np.random.default_rng(0).normal(size=(3, 4, 4, 4))
OTHER = np.random.default_rng(1).normal(size=(3, 4, 4, 4))
FIRST = np.moveaxis(VALUES, -1, 1)


class Tensors:
    """An artifact: the name and the array of each tensor; one sample a feed."""

    def __init__(self, **tensors):
        self.tensors = tensors

    def names(self):
        return {key: name for key, (name, _) in self.tensors.items()}

    def read(self, names, feeds):
        for index, _ in enumerate(feeds):
            yield (
                (name, self.tensors[name][1][index : index + 1])
                for name in names
                if name in self.tensors
            )


def locate(references, **tensors):
    return locate_tensors(Tensors(**tensors), references, [{}] * 3)


@pytest.mark.parametrize(
    ("name", "array", "channels_first"),
    (
        ("block/conv/Relu", VALUES, False),
        ("block/conv", VALUES, False),
        ("block/conv/Relu", FIRST, True),
        ("conv/Relu", VALUES, False),  # the block is unknown
        ("scores", VALUES, False),  # an output of the model
        ("block/conv/Relu", VALUES[:, None], False),  # an axis of size 1
    ),
)
def test_located(name, array, channels_first):
    reference = reference_of(VALUES, "block/conv", output="scores")
    (location,) = locate([reference], t=(name, array))
    assert location.tensor == "t"
    assert location.channels_first == channels_first
    assert location.error < 1e-12
    np.testing.assert_allclose(location.values, reference.values)


@pytest.mark.parametrize(
    ("name", "array"),
    (
        ("block/conv_1/Relu", VALUES),
        ("other/conv/Relu", VALUES),
        ("block/Relu", VALUES),
        ("", VALUES),
        ("block/conv/Relu", VALUES[:, :3]),
        ("block/conv/Relu", VALUES[:2]),  # one sample less
    ),
)
def test_not_located(name, array):
    assert locate([reference_of(VALUES, "block/conv")], t=(name, array)) == [
        None
    ]


def test_a_number_is_no_batch():
    """TFLite computes the sizes of a Reshape, each in a tensor of its own."""
    reference = reference_of(VALUES[:, 0, 0, :1], "reshape")
    reader = OutputReader(reference)
    reader.add(np.int32(3))
    assert not reader.complete


def test_values_decide_between_the_calls_of_a_shared_layer():
    references = [reference_of(VALUES), reference_of(OTHER, "conv#2")]
    found = locate(
        references, a=("conv/Relu_1", OTHER), b=("conv/Relu", VALUES)
    )
    assert [location.tensor for location in found] == ["b", "a"]


def test_values_decide_against_an_operation_named_after_the_layer():
    (found,) = locate(
        [reference_of(VALUES)],
        layer=("conv/Conv", FIRST + 1e-6),
        after=("conv/Add", FIRST + 0.1),
    )
    assert found.tensor == "layer"


def test_known_locations_are_read():
    locations = [
        TensorLocation("a", True, 0.0),
        None,
        TensorLocation("gone", False, 0.0),
        TensorLocation("b", False, 0.0),
    ]
    found = locate_tensors(
        Tensors(a=("", FIRST), b=("", VALUES[:, :3])),
        [reference_of(VALUES)] * 4,
        [{}] * 3,
        locations,
    )
    np.testing.assert_allclose(found[0].values, reference_of(VALUES).values)
    assert found[1:] == [None] * 3


@pytest.mark.parametrize("sizes", ((3,), (1, 2), (1, 1, 1)))
def test_batches_are_read_as_one(sizes):
    positions = np.array([0, 7, 17, 64, 100, 191])
    expected = np.append(VALUES.ravel()[positions], VALUES.mean((0, 1, 2)))
    reader = OutputReader(
        reference_of(VALUES, positions=positions, values=expected)
    )
    assert not reader.complete
    for batch in np.split(VALUES, np.cumsum(sizes)[:-1]):
        reader.add(batch)
    assert reader.complete
    np.testing.assert_allclose(reader.location("t").values, expected)


@pytest.mark.parametrize("constant", (np.float32(1), np.ones(7), np.ones(1)))
def test_a_constant_is_not_the_output_of_one_number(constant):
    class Constants(Tensors):
        def read(self, names, feeds):
            for _ in feeds:
                yield ((name, self.tensors[name][1]) for name in names)

    reference = reference_of(VALUES[:, 0, 0, :1], "block/size")
    constants = Constants(t=("block/size/Const", np.asarray(constant)))
    (location,) = locate_tensors(constants, [reference], [{}] * 3)
    assert location is None or location.error > 0.1
