"""Which tensor of an artifact is which layer's output.

A runtime's tensors bear names made from Keras's, with numbers added and steps
merged, and ONNX has the channels before the rows. So names and shapes say
what may be a layer's output, and the values say which it is.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from keras_inception_export.diagnosis.layer_reference import (
    LayerReference,
    Place,
    Reading,
)
from keras_inception_export.formats.format import Intermediates


def locate(
    intermediates: Intermediates,
    marks: Sequence[LayerReference],
    feeds: Sequence[Mapping[str, np.ndarray]],
) -> list[Place | None]:
    """Find the output of each layer in an artifact; None where it has none.

    Each `Place` has the values that are there now.

    Args:
        intermediates: the artifact's internal tensors.
        marks: the layer references to look for.
        feeds: the inputs that they belong to, in parts.
    """
    ranks = {
        (index, name): rank
        for name, meaning in intermediates.names().items()
        for index, mark in enumerate(marks)
        if (rank := _rank(meaning, mark)) is not None
    }
    wanted = [(*key, first) for key in ranks for first in (False, True)]
    found: list[list] = [[] for _ in marks]
    for key, values in _read(intermediates, marks, feeds, wanted).items():
        index, name, first = key
        if not _is_merged(values, marks[index]):
            place = Place(name, first, marks[index].error(values), values)
            found[index].append((ranks[index, name], place))
    return [
        min(places, key=lambda x: (x[0], x[1].error), default=(0, None))[1]
        for places in found
    ]


def values_at(
    intermediates: Intermediates,
    marks: Sequence[LayerReference],
    feeds: Sequence[Mapping[str, np.ndarray]],
    places: Sequence[Place | None],
) -> list[np.ndarray | None]:
    """Return what an artifact has at the layer references, in float64."""
    wanted = [
        (index, place.tensor, place.channels_first)
        for index, place in enumerate(places)
        if place
    ]
    found = _read(intermediates, marks, feeds, wanted)
    values = {index: array for (index, _, _), array in found.items()}
    return [values.get(index) for index in range(len(marks))]


def _read(intermediates, marks, feeds, wanted) -> dict[tuple, np.ndarray]:
    """Return the values of each (layer reference, tensor, channels first).

    Left out is what does not have the shape of the layer reference.
    """
    by_tensor = defaultdict(list)
    for key in wanted:
        by_tensor[key[1]].append((key, Reading(marks[key[0]])))
    for tensors in intermediates.read(list(by_tensor), feeds):
        for name, array in tensors:
            for (index, _, first), reading in by_tensor[name]:
                view = _view(array, marks[index], first)
                if view is not None:
                    reading.add(view)
    return {
        key: reading.values
        for readings in by_tensor.values()
        for key, reading in readings
        if reading.complete
    }


def _rank(meaning: str, mark: LayerReference) -> int | None:
    """Return how well a name fits a layer reference, 0 the best; None if not.

    Keras does not know where in a block a layer without weights stands, so
    such a tensor may bear the layer's own name alone.
    """
    path = mark.layer.partition("#")[0]
    if meaning == mark.output or _mentions(meaning, path):
        return 0
    return 1 if _mentions(meaning, path.rpartition("/")[2]) else None


def _mentions(name: str, path: str) -> bool:
    """Tell whether the steps of a path stand in a name, in that order.

    TensorFlow adds a number to a step: `conv_0_1` for the layer `conv_0`.
    """
    steps = map(re.escape, path.split("/"))
    pattern = r"(_\d+)?/(.*/)?".join(steps)
    return re.search(rf"(^|/){pattern}(_\d+)?(/|$)", name) is not None


def _view(
    array: np.ndarray, mark: LayerReference, channels_first: bool
) -> np.ndarray | None:
    """Return a tensor in Keras's order of axes, if it has such a shape."""
    if channels_first:
        if array.ndim < 3:
            return None
        array = np.moveaxis(array, 1, -1)
    fits = _sizes(array.shape) == _sizes(mark.shape)
    return array if fits else None


def _sizes(shape) -> list[int]:
    """Return the sizes of the axes behind the batch that count."""
    return [size for size in shape[1:] if size != 1]


def _is_merged(values: np.ndarray, mark: LayerReference) -> bool:
    """Tell whether an activation behind the layer is in the values already.

    A runtime that merges a relu into a convolution has the result in the
    convolution's tensor, and the output of the convolution nowhere.
    """

    singles = slice(len(mark.positions))
    exact, found = mark.values[singles], values[singles]

    def energy(reference):
        return np.square(found - reference).sum()

    return energy(exact.clip(0)) < energy(exact) / 2
