"""Weights that are written to a file without passing through the converter."""

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

_LARGE = 2**20
"""Weights of at least this many bytes are kept out of the conversion."""

_BLOCK = 2**23
"""About how many bytes of a weight are transposed at a time."""

_LAYOUTS = {
    keras.layers.Conv2D: ("kernel", (3, 0, 1, 2)),
    keras.layers.Dense: ("kernel", (1, 0)),
    keras.layers.Embedding: ("embeddings", (0, 1)),
}
"""For each layer class the attribute of its weight, and the weight's axes in
the order of TFLite's layout."""


@dataclass(frozen=True)
class LargeWeight:
    """A Keras variable that the converter reads as an input of the graph.

    `axes` are the variable's axes in the order of TFLite's layout.
    """

    variable: keras.Variable
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in TFLite's layout."""
        return tuple(self.variable.shape[axis] for axis in self.axes)

    @property
    def nbytes(self) -> int:
        """Size of the contents in bytes."""
        return int(np.prod(self.shape)) * np.dtype(self.variable.dtype).itemsize

    def blocks(self) -> Iterator[np.ndarray]:
        """Yield the contents in TFLite's layout, about 8 MB at a time."""
        # NumPy would copy a `tf.Variable`, but shares a tensor's memory; and
        # TensorFlow's transposition was six times as fast as NumPy's.
        tensor = tf.convert_to_tensor(self.variable.value)
        first, length = self.axes[0], self.shape[0]
        rows = max(1, _BLOCK * length // self.nbytes)
        index = [slice(None)] * len(self.axes)
        for start in range(0, length, rows):
            index[first] = slice(start, start + rows)
            yield np.asarray(tf.transpose(tensor[tuple(index)], self.axes))


def large_weights(model: keras.Model) -> list[LargeWeight]:
    """Return the large kernels and embedding tables, each variable once."""
    found = {}
    for layer in model._flatten_layers():
        for layer_class, (attribute, axes) in _LAYOUTS.items():
            # A layer that is never called has no weights.
            if not isinstance(layer, layer_class) or not layer.built:
                continue
            variable = getattr(layer, attribute)
            # With LoRA the attribute is a sum, not a variable.
            if isinstance(variable, keras.Variable):
                weight = LargeWeight(variable, axes)
                if weight.nbytes >= _LARGE:
                    found[id(variable)] = weight
    return list(found.values())
