"""Find the tensor of an artifact that is a layer's output.

The writers name tensors by the Keras path of the layer that computed them, so
names and shapes select the candidates, and the values decide between them.
Names and the order of the tensors do not suffice: a layer that is called
several times has several outputs, in an order of the artifact's own; a layer
without weights is named without the block that it is in; and in ONNX an
operation that belongs to no layer is named after the layer before it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

import numpy as np

from keras_inception_export.diagnosis.layer_reference import (
    Feeds,
    LayerReference,
    TensorLocation,
)
from keras_inception_export.formats.format import Intermediates


def locate_tensors(
    intermediates: Intermediates,
    references: Sequence[LayerReference],
    feeds: Feeds,
    known: Sequence[TensorLocation | None] | None = None,
) -> list[TensorLocation | None]:
    """Find the output of each layer in an artifact, and read its values.

    Of several tensors, that with the smallest error is returned; None if the
    artifact does not hold the output. If the artifact was published, `known`
    are the locations at publication, and no other tensor is read.
    """
    if known is None:
        names = intermediates.names()
        within = _by_scope(names)
        candidates = [
            (index, tensor, channels_first)
            for index, reference in enumerate(references)
            for tensor in _candidates(reference, names, within)
            for channels_first in (False, True)
        ]
    else:
        candidates = [
            (index, location.tensor, location.channels_first)
            for index, location in enumerate(known)
            if location
        ]
    readers = defaultdict(list)
    for index, tensor, channels_first in candidates:
        reader = OutputReader(references[index], channels_first)
        readers[tensor].append((index, reader))
    for tensors in intermediates.read(list(readers), feeds):
        for tensor, array in tensors:
            for _, reader in readers[tensor]:
                reader.add(array)
    found: list[list[TensorLocation]] = [[] for _ in references]
    for tensor, of_tensor in readers.items():
        for index, reader in of_tensor:
            if reader.complete:
                found[index].append(reader.location(tensor))
    return [
        min(locations, key=lambda location: location.error, default=None)
        for locations in found
    ]


class OutputReader:
    """Reduces a tensor, batch by batch, to the values of a layer reference."""

    def __init__(
        self, reference: LayerReference, channels_first: bool = False
    ) -> None:
        self._reference = reference
        self._channels_first = channels_first
        self._count = 0
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []

    def add(self, batch: np.ndarray) -> None:
        """Read the next samples, unless their shape is not the reference's."""
        reference = self._reference
        if self._channels_first:
            if batch.ndim < 3:
                return
            batch = np.moveaxis(batch, 1, -1)
        # A single number, such as a size that is computed, is no batch.
        if not batch.ndim or _sizes(batch.shape) != _sizes(reference.shape):
            return
        self._parts.append(reference.reduce(batch, self._count))
        self._count += len(batch)

    @property
    def complete(self) -> bool:
        """Whether all samples were read."""
        return self._count == self._reference.shape[0]

    def location(self, tensor: str) -> TensorLocation:
        """Return the location of what was read, with its values."""
        values = self._reference.to_values(self._parts)
        error = self._reference.error(values)
        return TensorLocation(tensor, self._channels_first, error, values)


def _sizes(shape: Sequence[int]) -> list[int]:
    """Return the sizes of all axes but the batch, without those of size 1."""
    return [size for size in shape[1:] if size != 1]


def _by_scope(names: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the tensors within each scope, and at each name."""
    found = defaultdict(list)
    for tensor, name in names.items():
        for scope in accumulate(name.split("/"), "{}/{}".format):
            found[scope].append(tensor)
    return found


def _candidates(
    reference: LayerReference,
    names: Mapping[str, str],
    within: Mapping[str, Sequence[str]],
) -> Iterable[str]:
    """Return the tensors that may be the layer's output, by their names.

    Keras does not know in which block a layer without weights is, so its
    tensors may be named by the last part of its path.
    """
    path = reference.layer.partition("#")[0]
    scopes = path, path.rpartition("/")[2]
    found = [tensor for scope in scopes for tensor in within.get(scope, ())]
    if reference.output:
        same = within.get(reference.output, ())
        found += [x for x in same if names[x] == reference.output]
    return dict.fromkeys(found)
