"""Find the tensor of an artifact that is a layer's output.

The writers name tensors by the Keras path of the layer that computed them, so
names and shapes select the candidates, and the values decide between them.
Names and the order of the tensors do not suffice: a layer that is called
several times has several outputs, in an order of the artifact's own; a layer
without weights is named without the block that it is in; and in ONNX an
operation that belongs to no layer is named after the layer before it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from keras_inception_export.diagnosis.layer_reference import (
    LayerReference,
    OutputReader,
    TensorLocation,
)
from keras_inception_export.formats.format import Intermediates

Candidate = tuple[int, str, bool]
"""A layer reference's index, a tensor, and whether its channels are first."""


def locate_tensors(
    intermediates: Intermediates,
    references: Sequence[LayerReference],
    feeds: Sequence[Mapping[str, np.ndarray]],
) -> list[TensorLocation | None]:
    """Find the output of each layer in an artifact.

    Returns:
        Per layer the location with the smallest error, with the values that
        the artifact has there; None if the artifact does not hold the output.
    """
    names = intermediates.names()
    candidates = [
        (index, tensor, channels_first)
        for index, reference in enumerate(references)
        for tensor, name in names.items()
        if _is_candidate(name, reference)
        for channels_first in (False, True)
    ]
    found: list[list[TensorLocation]] = [[] for _ in references]
    values_of = _read(intermediates, references, feeds, candidates)
    for (index, tensor, channels_first), values in values_of.items():
        error = references[index].error(values)
        found[index].append(
            TensorLocation(tensor, channels_first, error, values)
        )
    return [
        min(locations, key=lambda location: location.error, default=None)
        for locations in found
    ]


def read_tensors(
    intermediates: Intermediates,
    references: Sequence[LayerReference],
    feeds: Sequence[Mapping[str, np.ndarray]],
    locations: Sequence[TensorLocation | None],
) -> list[np.ndarray | None]:
    """Return the values of an artifact at known locations.

    Returns:
        Per layer the values, as `LayerReference.values` has them; None where
        the location is None or the tensor has another shape.
    """
    candidates = [
        (index, location.tensor, location.channels_first)
        for index, location in enumerate(locations)
        if location
    ]
    found = _read(intermediates, references, feeds, candidates)
    values = {index: array for (index, _, _), array in found.items()}
    return [values.get(index) for index in range(len(references))]


def _read(
    intermediates: Intermediates,
    references: Sequence[LayerReference],
    feeds: Sequence[Mapping[str, np.ndarray]],
    candidates: Sequence[Candidate],
) -> dict[Candidate, np.ndarray]:
    """Return the values of each candidate whose shape is the reference's."""
    readers = defaultdict(list)
    for candidate in candidates:
        reader = OutputReader(references[candidate[0]])
        readers[candidate[1]].append((candidate, reader))
    for tensors in intermediates.read(list(readers), feeds):
        for name, array in tensors:
            for (index, _, channels_first), reader in readers[name]:
                output = _in_keras_order(
                    array, references[index], channels_first
                )
                if output is not None:
                    reader.add(output)
    return {
        candidate: reader.values
        for of_tensor in readers.values()
        for candidate, reader in of_tensor
        if reader.complete
    }


def _is_candidate(name: str, reference: LayerReference) -> bool:
    """Return whether a tensor of this name may be the layer's output.

    Keras does not know in which block a layer without weights is, so its
    tensors may be named by the last part of its path.
    """
    if reference.output and name == reference.output:
        return True
    path = reference.layer.partition("#")[0]
    scopes = (f"{path}/", f"{path.rpartition('/')[2]}/")
    return f"{name}/".startswith(scopes)


def _in_keras_order(
    array: np.ndarray, reference: LayerReference, channels_first: bool
) -> np.ndarray | None:
    """Return a tensor with Keras's order of axes; None if it does not fit."""
    if channels_first:
        if array.ndim < 3:
            return None
        array = np.moveaxis(array, 1, -1)
    fits = _sizes(array.shape) == _sizes(reference.shape)
    return array if fits else None


def _sizes(shape: Sequence[int]) -> list[int]:
    """Return the sizes of all axes but the batch, without those of size 1."""
    return [size for size in shape[1:] if size != 1]
