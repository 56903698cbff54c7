"""The inference twin: the one model that every format is written from."""

from dataclasses import dataclass

import keras

from keras_inception_export.signature import TensorSpec


@dataclass(frozen=True)
class InferenceTwin:
    """A float32 Functional model, batch norm folded, with settled names.

    Args:
        model: the Keras model; its `input` and `output` may be any structure.
        inputs: one spec an input, in the declared order.
        outputs: one spec an output, in the declared order.
        input_order: for each declared input, its place among the flattened
            `model.input`.
        output_order: the same for `model.output`.
    """

    model: keras.Model
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_order: tuple[int, ...]
    output_order: tuple[int, ...]

    def call(self, *tensors):
        """Run the model on one tensor an input; a tuple in declared order."""
        flat = [None] * len(tensors)
        for place, tensor in zip(self.input_order, tensors, strict=True):
            flat[place] = tensor
        packed = keras.tree.pack_sequence_as(self.model.input, flat)
        outputs = keras.tree.flatten(self.model(packed, training=False))
        return tuple(outputs[place] for place in self.output_order)
