"""The float model that TensorFlow's converter turns into integers.

While it is converted each tensor bears a number in the place of its name.
Afterwards what an integer tensor was made from can be told from its own name,
to which the converter may have added digits.
"""

import re
from collections.abc import (
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path

import numpy as np

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.quantizer import rounded_kernel
from keras_inception_export.formats.tflite.flatbuffer import (
    Operator,
    Structure,
)
from keras_inception_export.formats.tflite.naming import layers_with_kernel

# What becomes int8 unless it is named. The converter always turns the kernel of
# a TRANSPOSE_CONV into int8, named or not.
_INTEGER_OPERATORS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
# Of them those whose kernel has the filters first, and each input a place.
_FILTERS_FIRST = {"CONV_2D", "FULLY_CONNECTED"}
# The converter gives its result another scale than what it copies.
_WRONG_IN_INTEGERS = {"REVERSE_V2"}
# In integers their result has steps of 1/256, too coarse to tell classes apart.
_PROBABILITIES = {"LOGISTIC", "SOFTMAX"}
_NUMBERED = re.compile(r"tensor_(\d+)\.(\d*)")


class CalibratedModel:
    """A float model, its layers and the ranges of its tensors.

    Args:
        structure: a finished float artifact.
        kernels: the integers that kernels are rounded to, by the path of the
            Keras variable and in its order of axes. Any other is rounded to
            the nearest.

    Attributes:
        layers: the layers that can compute in integers, in their order.
    """

    def __init__(self, structure: Structure, kernels: Mapping[str, np.ndarray]):
        self._structure = structure
        self._kernels = kernels
        self._operators = list(structure.operators())
        self._names = [
            structure.name_of(index) for index in range(len(structure.tensors))
        ]
        # The layers of each operator that has a kernel, by what it computes.
        self._layers = {
            operator.outputs[0]: tuple(layers_with_kernel(self._names[kernel]))
            for operator, kernel in structure.kernels()
            if operator.name in _INTEGER_OPERATORS
        }
        self.layers = tuple(
            dict.fromkeys(x for layers in self._layers.values() for x in layers)
        )
        for index, tensor in enumerate(structure.tensors):
            tensor.name = _number(index)

    def save_watched(self, path: Path) -> None:
        """Write the model with every tensor to be measured as an output."""
        graph = self._structure.graph
        before = graph.outputs
        graph.outputs = self._activations()
        self._structure.save(path)
        graph.outputs = before

    def calibrate(
        self, samples: Sequence[np.ndarray], ranges: np.ndarray
    ) -> None:
        """Take over the range of every tensor.

        Args:
            samples: for each input the samples it was measured on.
            ranges: the smallest and the largest value of each output of the
                watched model.

        Raises:
            ConversionError: a tensor has no range.
        """
        inputs = zip(self._structure.graph.inputs, samples, strict=True)
        self._ranges = {
            index: np.array([array.min(), array.max()])
            for index, array in inputs
            if self._structure.is_float(index)
        } | dict(zip(self._activations(), ranges, strict=True))
        for index, values in self._ranges.items():
            if not np.isfinite(values).all():
                raise ConversionError(
                    f"'{self._names[index]}' is not finite on the calibration "
                    "samples, so it has no range: give other samples"
                )

    def save_calibrated(
        self, path: Path, float_layers: Collection[str], integer_ends: bool
    ) -> list[str]:
        """Write the model for the converter.

        A tensor without a range stays in float, and so does an operator that
        reads or computes one.

        Args:
            path: the file to write.
            float_layers: the layers that are to compute in float.
            integer_ends: whether inputs and outputs are to be integers.

        Returns:
            Names for what is to be in float although it has a range.
        """
        graph = self._structure.graph
        floats = self._float_operators(
            float_layers, () if integer_ends else graph.outputs
        )
        needed = {
            tensor
            for operator in self._operators
            if operator not in floats
            for tensor in (*operator.inputs, *operator.outputs)
        }
        if integer_ends:
            needed.update(graph.inputs, graph.outputs)
        # What is joined or split has one scale, in float too, and the converter
        # takes any range that it knows: so it must know all of them, or none.
        for operator in [*self._operators, *reversed(self._operators)]:
            tensors = {*operator.inputs, *operator.outputs}
            if operator.outputs[0] not in self._layers and tensors & needed:
                needed |= tensors
        for index, values in self._ranges.items():
            self._structure.set_range(index, values if index in needed else ())
        self._structure.save(path, dict(self._rounded(floats)))
        return [
            _number(tensor)
            for operator in self._operators
            if operator in floats
            for tensor in operator.outputs
        ]

    def _rounded(
        self, floats: Collection[Operator]
    ) -> Iterator[tuple[int, tuple[int, Iterable[np.ndarray]]]]:
        """Yield the buffers of kernels that are rounded, and their contents.

        Args:
            floats: what computes in float.
        """
        for operator, kernel in self._structure.kernels():
            if operator in floats or operator.name not in _FILTERS_FIRST:
                continue
            # Equal kernels of several layers are one, and bear all the paths.
            integers = self._kernels.get(self._names[kernel])
            if integers is not None:
                weights = self._structure.weights(kernel)
                blocks = _blocks(weights, np.moveaxis(integers, -1, 0))
                buffer = self._structure.tensors[kernel].buffer
                yield buffer, (weights.nbytes, blocks)

    def _float_operators(
        self, float_layers: Collection[str], float_outputs: Collection[int]
    ) -> set[Operator]:
        """Return what computes in float.

        An operator without a kernel computes in integers unless all the
        kernels before it, or all those behind it, are in float: so a lone
        float branch does not drag its block along, and a lone integer layer
        not what it feeds.

        Args:
            float_layers: the layers that are to.
            float_outputs: the outputs of the model, if they are in float.
        """
        in_float = {
            tensor: not set(float_layers).isdisjoint(layers)
            for tensor, layers in self._layers.items()
        }
        forth = [(x.outputs[0], x.inputs, x.outputs) for x in self._operators]
        back = [(first, far, near) for first, near, far in reversed(forth)]
        before, behind = _reach(forth, in_float), _reach(back, in_float)

        def is_float(operator: Operator) -> bool:
            first = operator.outputs[0]
            if first in in_float:
                return in_float[first]
            if operator.name in _PROBABILITIES and first in float_outputs:
                return True
            if operator.name in _WRONG_IN_INTEGERS:
                return True
            return before[first] or behind[first]

        return set(filter(is_float, self._operators))

    def restore_names(self, structure: Structure) -> None:
        """Name the tensors of an integer model after those of this one.

        One that the converter added, the quantized form of another say, bears
        that one's name and a number behind a colon.
        """

        def name(match: re.Match) -> str:
            number, added = match.groups()
            return self._names[int(number)] + (f":{added}" if added else "")

        structure.rename(lambda numbered: _NUMBERED.sub(name, numbered))

    def _activations(self) -> list[int]:
        """List the float tensors that are computed, in their order."""
        return [
            tensor
            for operator in self._operators
            for tensor in operator.outputs
            if self._structure.is_float(tensor)
        ]


def _blocks(weights: np.ndarray, integers: np.ndarray) -> Iterator[np.ndarray]:
    """Yield a rounded kernel, filters first, once it is asked for."""
    shaped = integers.reshape(weights.shape)
    yield np.ascontiguousarray(rounded_kernel(weights, shaped, axis=0))


def _number(index: int) -> str:
    return f"tensor_{index}."


def _reach(
    steps: Iterable[tuple[int, Sequence[int], Sequence[int]]],
    in_float: Mapping[int, bool],
) -> dict[int, bool]:
    """Tell of which steps all the kernels in one direction are in float.

    Args:
        steps: what names a step, the tensors on its near and on its far side.
        in_float: whether a step with a kernel is in float.

    Returns:
        For each step whether there are kernels on its near side, all in float.
    """
    reached: dict[int, bool] = {}
    found = {}
    for step, near, far in steps:
        states = [reached[tensor] for tensor in near if tensor in reached]
        found[step] = bool(states) and all(states)
        if step in in_float:
            states = [in_float[step]]
        for tensor in far if states else ():
            reached[tensor] = all(states) and reached.get(tensor, True)
    return found
