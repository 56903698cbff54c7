"""The float model that TensorFlow's converter turns into an int8 model.

`CalibratedModel` takes a finished float artifact. It writes the model that
ranges are measured with, records the ranges, writes the model that the
converter reads, and restores the names in the result.

During the conversion each tensor has a number as its name. The converter may
add digits to a name, and the number still identifies the float tensor that an
integer tensor was made from.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.quantizer import (
    PIXELS,
    nearest,
    rounded_kernel,
    uneven_joins,
    with_headroom,
)
from keras_inception_export.formats.tflite.flatbuffer import Operator, Structure
from keras_inception_export.formats.tflite.naming import layers_with_kernel

_FILTER_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": -1, "FULLY_CONNECTED": 0}
"""Operators with a kernel that can be kept in float, and the axis of the kernel
that has one filter per index. TRANSPOSE_CONV is missing: the converter always
turns its kernel into int8."""

_WRONG_IN_INTEGERS = {"REVERSE_V2"}
"""The converter gives its result another scale than the input it copies."""

_PROBABILITIES = {"LOGISTIC", "SOFTMAX"}
"""Operators whose result would have steps of 1/256 in integers, too coarse to
distinguish classes."""

_BOUNDED = _PROBABILITIES | {"TANH"}
"""Operators whose result has a known scale in integers."""

_ONE_SCALE = frozenset(
    "CONCATENATION EXPAND_DIMS GATHER MAXIMUM MAX_POOL_2D MINIMUM PACK PAD "
    "PADV2 RESHAPE REVERSE_V2 SELECT SELECT_V2 SLICE SPLIT SPLIT_V SQUEEZE "
    "STRIDED_SLICE TILE TRANSPOSE UNPACK".split()
)
"""Operators whose inputs and outputs have one scale in integers."""

_NUMBER = "tensor_{}."
_NUMBERED = re.compile(r"tensor_(\d+)\.(\d*)")
"""The names of the tensors during the conversion, and how they are read."""


class CalibratedModel:
    """A float model, its layers and the ranges of its tensors.

    Args:
        structure: a finished float artifact. Its tensors are renamed.
        kernels: the integers that kernels are rounded to; see `Quantizer`.

    Attributes:
        layers: the layers that can compute in integers, in execution order.
    """

    def __init__(self, structure: Structure, kernels: Mapping[str, np.ndarray]):
        self._structure = structure
        self._kernels = kernels
        self._operators = list(structure.operators())
        self._names = [
            structure.name_of(index) for index in range(len(structure.tensors))
        ]
        # The layers of each operator with a kernel, keyed by its result.
        self._layers = {
            operator.outputs[0]: tuple(layers_with_kernel(self._names[kernel]))
            for operator, kernel in structure.kernels()
            if operator.name in _FILTER_AXIS
        }
        self.layers = tuple(
            dict.fromkeys(x for layers in self._layers.values() for x in layers)
        )
        for index, tensor in enumerate(structure.tensors):
            tensor.name = _NUMBER.format(index)

    def save_for_calibration(self, path: Path) -> None:
        """Write the model with every tensor to measure as an output."""
        graph = self._structure.graph
        outputs = graph.outputs
        graph.outputs = self._activations()
        self._structure.save(path)
        graph.outputs = outputs

    def calibrate(
        self,
        samples: Iterable[np.ndarray],
        ranges: np.ndarray,
        pixels: Collection[int] = (),
    ) -> None:
        """Record the range of every tensor.

        `samples` has one array per input; `ranges` has the smallest and the
        largest value of each output that `save_for_calibration` writes;
        `pixels` has the positions of the inputs that take pixels.
        """
        limits = [
            PIXELS if i in pixels else (array.min(), array.max())
            for i, array in enumerate(samples)
        ]
        inputs = zip(self._structure.graph.inputs, limits, strict=True)
        measured = dict(zip(self._activations(), ranges, strict=True))
        for index, values in inputs:
            if not np.isfinite(values).all():
                raise ConversionError(
                    f"'{self._names[index]}' is not finite on the calibration "
                    "samples, so it has no range; use other samples"
                )
            if self._structure.is_float(index):
                measured[index] = np.array(values, np.float32)
        # A mask may be of infinities.
        self._infinite = {
            x for x in measured if not np.isfinite(measured[x]).all()
        }
        self._ranges = {
            x: measured[x] for x in measured.keys() - self._infinite
        }

    def save_calibrated(
        self,
        path: Path,
        float_layers: Collection[str],
        integer_inputs: bool,
        integer_outputs: bool,
    ) -> list[str]:
        """Write the model for the converter.

        The converter keeps a tensor without a range in float, and every
        operator that reads or computes it.

        Returns:
            The names of the tensors whose operators must be kept in float
            although they may have a range.
        """
        graph = self._structure.graph
        uneven, mixed = uneven_joins(
            (
                (operator, operator.inputs, operator.outputs)
                for operator in self._operators
                if operator.name in _ONE_SCALE
            ),
            self._ranges,
        )
        in_float = self._layers_in_float(float_layers, uneven, mixed)
        float_operators = self._float_operators(
            in_float, () if integer_outputs else graph.outputs
        )
        needed = {
            tensor
            for operator in self._operators
            if operator not in float_operators
            for tensor in (*operator.inputs, *operator.outputs)
        }
        if integer_inputs:
            needed.update(graph.inputs)
        if integer_outputs:
            needed.update(graph.outputs)
        # Tensors that are joined or split share one scale, even in float, and
        # the converter derives it from the ranges it knows: so it must know
        # all of them, or none.
        for operator in [*self._operators, *reversed(self._operators)]:
            tensors = {*operator.inputs, *operator.outputs}
            if operator.outputs[0] not in in_float and tensors & needed:
                needed |= tensors
        wide = self._outputs_and_copies()
        for index, values in self._ranges.items():
            if index not in needed:
                values = ()
            elif index in wide:
                values = with_headroom(*values)
            self._structure.set_range(index, values)
        self._structure.save(path, dict(self._rounded(float_operators)))
        return [
            _NUMBER.format(tensor)
            for operator in self._operators
            if operator in float_operators
            for tensor in operator.outputs
        ]

    def _outputs_and_copies(self) -> set[int]:
        """Return the outputs, and what has their scale, unless it is bounded.

        Where an operator has a bound, its kernel in integers keeps it.
        """
        found = set(self._structure.graph.outputs)
        for operator in reversed(self._operators):
            if operator.name in _BOUNDED:
                found.difference_update(operator.outputs)
            elif operator.name in _ONE_SCALE and found & {*operator.outputs}:
                found.update(operator.inputs)
        return found

    def _rounded(
        self, float_operators: Collection[Operator]
    ) -> Iterator[tuple[int, tuple[int, Iterable[np.ndarray]]]]:
        """Yield the buffers of the rounded kernels, and their contents."""
        for operator, kernel in self._structure.kernels():
            # A constant that several layers share has another name, with all
            # their paths, and is rounded to the nearest.
            integers = self._kernels.get(self._names[kernel])
            if (
                integers is None
                or operator in float_operators
                or operator.name not in _FILTER_AXIS
            ):
                continue
            weights = self._structure.weights(kernel)
            axis = _FILTER_AXIS[operator.name]
            blocks = _blocks(weights, integers, axis)
            buffer = self._structure.tensors[kernel].buffer
            yield buffer, (weights.nbytes, blocks)

    def _layers_in_float(
        self,
        float_layers: Collection[str],
        uneven: Collection[Operator],
        mixed: Collection[int],
    ) -> dict[int, bool]:
        """Return whether each layer computes in float, keyed by its result.

        Operators that must, because they read or compute values that have no
        scale in common, count as layers in float.
        """
        in_float = {
            tensor: not set(float_layers).isdisjoint(layers)
            for tensor, layers in self._layers.items()
        }
        mixed = set(mixed)
        # Even before a join in float, the converter gives its inputs one scale
        # if they have ranges. So what computes them is in float, too.
        parts = {tensor for join in uneven for tensor in join.inputs}
        for operator in reversed(self._operators):
            if operator.name in _ONE_SCALE and parts & set(operator.outputs):
                parts.update(operator.inputs)
        for operator in self._operators:
            first = operator.outputs[0]
            is_mixed = not mixed.isdisjoint(operator.inputs)
            if is_mixed and first not in self._layers:
                mixed.update(operator.outputs)
            if (
                is_mixed
                or operator in uneven
                or not parts.isdisjoint(operator.outputs)
                or self._infinite & {*operator.inputs, *operator.outputs}
            ):
                in_float[first] = True
        return in_float

    def _float_operators(
        self, in_float: Mapping[int, bool], float_outputs: Collection[int]
    ) -> set[Operator]:
        """Return the operators that compute in float.

        An operator without a kernel computes in integers unless all the
        kernels before it, or all those after it, are in float. So one float
        branch does not keep its whole block in float, and one integer layer
        does not make what follows it compute in integers.
        """
        forward = [(x.outputs[0], x.inputs, x.outputs) for x in self._operators]
        backward = [(x, far, near) for x, near, far in reversed(forward)]
        before, after = nearest(forward, in_float), nearest(backward, in_float)

        def is_float(operator: Operator) -> bool:
            first = operator.outputs[0]
            if first in in_float:
                return in_float[first]
            above = set().union(*map(before.__getitem__, operator.inputs))
            below = set().union(*map(after.__getitem__, operator.outputs))
            return (
                (operator.name in _PROBABILITIES and first in float_outputs)
                or operator.name in _WRONG_IN_INTEGERS
                or above == {True}
                or below == {True}
            )

        return set(filter(is_float, self._operators))

    def restore_names(self, structure: Structure) -> None:
        """Name the tensors of the converted model after those of this one.

        A tensor that the converter added, such as the quantized form of
        another, has the name of that one, a colon and a number.
        """

        def name(match: re.Match) -> str:
            number, added = match.groups()
            return self._names[int(number)] + (f":{added}" if added else "")

        structure.rename(lambda numbered: _NUMBERED.sub(name, numbered))

    def _activations(self) -> list[int]:
        """Return the float tensors that are computed, in execution order."""
        return [
            tensor
            for operator in self._operators
            for tensor in operator.outputs
            if self._structure.is_float(tensor)
        ]


def _blocks(
    weights: np.ndarray, integers: np.ndarray, axis: int
) -> Iterator[np.ndarray]:
    """Yield a rounded kernel; computed when it is written."""
    shaped = np.moveaxis(integers, -1, 0) if axis == 0 else integers
    shaped = shaped.reshape(weights.shape)
    yield np.ascontiguousarray(rounded_kernel(weights, shaped, axis))
