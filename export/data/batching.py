"""Cut samples into batches, and compute a model's outputs batch by batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ArtifactError

BATCH = 16
"""Samples per call where the batch size is free."""
Arrays = Mapping[str, Any]
"""A batch: one array per name of an input or output. Samples may be `Rows`."""


def count(arrays: Arrays) -> int:
    """Return the number of samples in a batch."""
    return len(next(iter(arrays.values())))


def batches(inputs: Arrays, size: int) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches of equal size; the last sample pads the last batch."""
    number = count(inputs)
    for start in range(0, number, size):
        rows = np.minimum(np.arange(start, start + size), number - 1)
        yield {name: array[rows] for name, array in inputs.items()}


def stream(
    call: Callable[[dict[str, np.ndarray]], Arrays],
    inputs: Arrays,
    size: int | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield the outputs for all samples, batch by batch."""
    number = count(inputs)
    size = size or min(BATCH, number)
    for start, batch in enumerate(batches(inputs, size)):
        left = number - start * size
        yield {name: array[:left] for name, array in call(batch).items()}


def run(
    call: Callable[[dict[str, np.ndarray]], Arrays],
    inputs: Arrays,
    size: int | None = None,
) -> dict[str, np.ndarray]:
    """Return the outputs for all samples, computed batch by batch."""
    parts = list(stream(call, inputs, size))
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }


def real_outputs(
    call: Callable[[Any], Arrays],
    feeds: Arrays,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> dict[str, np.ndarray]:
    """Return the outputs in real values, in one call if the batch size is free.

    Raises:
        ArtifactError: if an output has not one row per sample.
    """
    fixed, number = inputs[0].shape[0], count(feeds)
    values = run(call, feeds, fixed) if fixed else call(feeds)
    found = {spec.name: spec.dequantize(values[spec.name]) for spec in outputs}
    for name, array in found.items():
        if array.shape[:1] != (number,):
            raise ArtifactError(
                f'the output "{name}" of {number} samples has the shape '
                f"{array.shape}, expected one row per sample; run the artifact "
                "with the runtime itself"
            )
    return found
