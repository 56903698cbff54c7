"""Find the first layer that computes something else, or nothing of use."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_inception_export.data.batching import Arrays
from keras_inception_export.model.call_hooks import observed, operations_in
from keras_inception_export.model.inference_model import InferenceModel
from keras_inception_export.model.precision import describe
from keras_inception_export.model.reference import compute

TOLERANCE = 1e-4
"""Of the largest value. Two runs of the same layer in float32 differ by 1e-6
or less; what a config forgets usually changes far more than this."""

CONSTANT = 1e-6
"""What differs by less between samples, relative to the largest value, is
constant but for rounding."""


class _Call(NamedTuple):
    """One call of a layer."""

    layer: Any
    inputs: list[np.ndarray]
    outputs: list[np.ndarray]


def diverging_layer(
    live: InferenceModel, copy: InferenceModel, feeds: Sequence[Arrays]
) -> str | None:
    """Return the first layer of `live` that computes something else in `copy`.

    Its inputs are equal in both and its outputs are not. If `copy` is `live`
    itself, that layer is random or keeps a state between calls. The copy should
    not be a folded one, whose layers compute something else.

    Returns:
        The path and the class of the layer, such as `"block/scale" (Scale)`;
        None if no layer differs.
    """
    for feed in feeds:
        calls = zip(_calls(live, feed), _calls(copy, feed), strict=False)
        for one, other in calls:
            if type(one.layer) is not type(other.layer):
                break  # the two no longer run the same code
            if _agree(one.inputs, other.inputs) and not _agree(
                one.outputs, other.outputs
            ):
                return describe(one.layer)
    return None


def blocking_layer(live: InferenceModel, feed: Arrays) -> str | None:
    """Return the first layer whose outputs are constant, or not finite.

    Its inputs are neither. None if there is no such layer.
    """
    for call in _calls(live, feed):
        if call.outputs and _carries(call.inputs) > _carries(call.outputs):
            return describe(call.layer)
    return None


def _carries(arrays: Sequence[np.ndarray]) -> bool:
    """Return whether all are finite and one differs between samples."""
    return all(np.isfinite(array).all() for array in arrays) and any(
        array.ndim
        and np.ptp(array, axis=0).max() > CONSTANT * np.abs(array).max()
        for array in arrays
        if array.size
    )


def _calls(inference_model: InferenceModel, feed: Arrays) -> list[_Call]:
    """Return the calls that one run makes, in the order in which they end."""
    calls = []

    def record(layer, call, *args, **kwargs):
        inputs = _arrays((args, kwargs))
        outputs = call(*args, **kwargs)
        calls.append(_Call(layer, inputs, _arrays(outputs)))
        return outputs

    with observed(operations_in(inference_model.model), record):
        compute(inference_model.call, inference_model.inputs, feed)
    return calls


def _arrays(structure: Any) -> list[np.ndarray]:
    return [
        keras.ops.convert_to_numpy(value).astype("float64")
        for value in keras.tree.flatten(structure)
        if keras.ops.is_tensor(value)
    ]


def _agree(arrays: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> bool:
    """Return whether two lists of arrays are equal but for rounding."""
    return len(arrays) == len(others) and all(
        array.shape == other.shape
        and np.allclose(
            *(array, other),
            rtol=0,
            atol=TOLERANCE * np.abs(array[np.isfinite(array)]).max(initial=0),
            equal_nan=True,
        )
        for array, other in zip(arrays, others, strict=True)
    )
