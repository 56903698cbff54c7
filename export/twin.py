"""The inference twin: the one model that every format is written from."""

from dataclasses import dataclass

import keras

from keras_inception_export.naming import (
    check_distinct,
    input_specs,
    output_specs,
)
from keras_inception_export.signature import TensorSpec


@dataclass(frozen=True)
class InferenceTwin:
    """A model ready for inference, with settled names.

    Args:
        model: a Functional Keras model; its `input` and `output` may be any
            structure.
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

    @classmethod
    def of(cls, model):
        """Settle the names and the order of a Functional model.

        Raises:
            RequestError: if a name cannot be used in every format.
        """
        inputs, input_order = input_specs(model)
        outputs, output_order = output_specs(model)
        check_distinct(inputs, outputs)
        return cls(model, inputs, outputs, input_order, output_order)

    def call(self, *tensors):
        """Run the model on one tensor an input; a tuple in declared order."""
        flat = [None] * len(tensors)
        for place, tensor in zip(self.input_order, tensors, strict=True):
            flat[place] = tensor
        packed = keras.tree.pack_sequence_as(self.model.input, flat)
        outputs = keras.tree.flatten(self.model(packed, training=False))
        return tuple(outputs[place] for place in self.output_order)
