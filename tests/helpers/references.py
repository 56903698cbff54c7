"""Layer references of arrays, for tests that need no framework."""

import numpy as np

from keras_inception_export.diagnosis.layer_reference import LayerReference


def reference_of(array, layer="conv", **fields):
    """Return the layer reference that samples every value of an array."""
    array = np.asarray(array, "float64")
    defaults = {
        "output": "",
        "source": None,
        "shape": array.shape,
        "channel_axis": array.ndim - 1,
        "positions": np.arange(array.size),
        "values": all_values(array),
        "scale": float(np.abs(array).max()),
        "keras_error": 1e-7,
    }
    return LayerReference(layer, **{**defaults, **fields})


def all_values(array):
    """Return every value of an array, then the mean of each channel."""
    means = array.mean(axis=tuple(range(array.ndim - 1)))
    return np.concatenate([array.ravel(), means])
