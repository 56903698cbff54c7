"""Finishing the converter's flatbuffer: large weights, names and order.

A `.tflite` file is one flatbuffer, and Python's flatbuffer builder holds
several copies of what it writes. So only the structure is repacked here. The
contents of every large buffer are appended behind it, and the buffer's table
is pointed there: an offset in a flatbuffer may point to any later byte.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.errors import ConversionError

# TFLite asks for this alignment of a buffer's contents.
_ALIGNMENT = 16
# The runtime refuses a larger flatbuffer.
_LARGEST_FILE = 2**31 - 1
# Buffers up to this many bytes stay inside the repacked structure.
_SMALL_BUFFER = 1024
# The place of `data` in the table `Buffer` of TFLite's schema.
_DATA_FIELD = 4
# Where each operator takes a weight: (operator, place among its inputs).
_WEIGHT_PLACES = {("FULLY_CONNECTED", 1), ("CONV_2D", 1), ("GATHER", 0)}


@dataclass(frozen=True)
class LargeWeight:
    """A Keras variable whose contents the converter never sees.

    Args:
        variable: the `keras.Variable`.
        axes: the variable's axes in the order of TFLite's layout.
    """

    variable: Any
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
        import tensorflow as tf

        # NumPy would copy a `tf.Variable`, but shares a tensor's memory; and
        # TensorFlow's transposition was six times as fast as NumPy's.
        tensor = tf.convert_to_tensor(self.variable.value)
        first, length = self.axes[0], self.shape[0]
        rows = max(1, 2**23 * length // self.nbytes)
        index = [slice(None)] * len(self.axes)
        for start in range(0, length, rows):
            index[first] = slice(start, start + rows)
            yield np.asarray(tf.transpose(tensor[tuple(index)], self.axes))


class Structure:
    """A converted model, its large weights still being graph inputs."""

    def __init__(self, data: bytes):
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = schema.ModelT.InitFromPackedBuf(data)
        self._signature = self._model.signatureDefs[0]
        graph = self._model.subgraphs[self._signature.subgraphIndex]
        self._graph = graph
        self._inputs = _tensor_indices(self._signature.inputs)
        self._outputs = _tensor_indices(self._signature.outputs)

    def is_weight(self, name: str) -> bool:
        """Tell whether every reader of this input takes it as its weight.

        Otherwise the operator would compute on it (transpose it, say) at each
        call, and the converter must be given the contents to fold.
        """
        index = self._inputs[name]
        codes = self._model.operatorCodes
        readers = [
            (self._operator_name(codes[operator.opcodeIndex]), place)
            for operator in self._graph.operators
            if operator.inputs is not None
            for place, tensor in enumerate(operator.inputs)
            if tensor == index
        ]
        return bool(readers) and _WEIGHT_PLACES.issuperset(readers)

    def _operator_name(self, code: Any) -> str:
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        names = vars(self._schema.BuiltinOperator)
        return next(name for name, value in names.items() if value == number)

    def drop_scope(self, name: str) -> None:
        """Drop a name scope that all names share, whatever its suffix `_N`.

        The outermost scope is the model's name, which Keras may have numbered
        by what the process built before.
        """
        scope = re.compile(rf"(^|;){re.escape(name)}(_\d+)?/".encode())
        for graph in self._model.subgraphs:
            graph.name = scope.sub(rb"\1", graph.name)
            for tensor in graph.tensors:
                tensor.name = scope.sub(rb"\1", tensor.name)

    def write(
        self,
        path: Path,
        inputs: Sequence[tuple[str, str]],
        outputs: Sequence[tuple[str, str]],
        weights: Iterable[tuple[str, LargeWeight]],
    ) -> None:
        """Write the finished file.

        Args:
            path: the file to write.
            inputs: (name while converting, final name), in declared order.
            outputs: the same for the outputs.
            weights: (name while converting, weight).

        Raises:
            ConversionError: the file would be larger than TFLite allows.
        """
        signature, graph = self._signature, self._graph
        contents: dict[int, tuple[int, Iterable]] = {}
        for index, buffer in enumerate(self._model.buffers):
            if buffer.data is not None and len(buffer.data) > _SMALL_BUFFER:
                contents[index] = len(buffer.data), [buffer.data]
        for name, weight in weights:
            tensor = graph.tensors[self._inputs[name]]
            tensor.name = weight.variable.path
            tensor.buffer = len(self._model.buffers)
            contents[tensor.buffer] = weight.nbytes, weight.blocks()
            self._model.buffers.append(self._schema.BufferT())
        signature.outputs, graph.outputs = self._bind(self._outputs, outputs)
        signature.inputs, graph.inputs = self._bind(self._inputs, inputs)
        for index in contents:
            self._model.buffers[index].data = np.zeros(1, np.uint8)
        self._write_packed(path, contents)

    def _bind(
        self, indices: dict[str, int], names: Sequence[tuple[str, str]]
    ) -> tuple[list, list[int]]:
        """Name tensors, and list them for the signature and the subgraph."""
        entries = []
        for name, final_name in names:
            entry = self._schema.TensorMapT()
            entry.name, entry.tensorIndex = final_name, indices[name]
            self._graph.tensors[indices[name]].name = final_name
            entries.append(entry)
        return entries, [entry.tensorIndex for entry in entries]

    def _write_packed(
        self, path: Path, contents: dict[int, tuple[int, Iterable]]
    ) -> None:
        import flatbuffers

        builder = flatbuffers.Builder()
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        packed = builder.Output()
        model = self._schema.Model.GetRootAs(packed)
        end = len(packed)
        starts = {}
        for index, (size, _) in contents.items():
            # A vector is its length, four bytes, and then the contents.
            start = -(-(end + 4) // _ALIGNMENT) * _ALIGNMENT
            table = model.Buffers(index)._tab
            field = table.Pos + table.Offset(_DATA_FIELD)
            if start + size > _LARGEST_FILE:
                raise ConversionError(
                    "the TFLite file would be larger than the 2 GB that its "
                    "runtime reads: leave the format tflite out"
                )
            struct.pack_into("<I", packed, field, start - 4 - field)
            starts[index] = start
            end = start + size
        with open(path, "wb") as file:
            file.write(packed)
            for index, (size, blocks) in contents.items():
                file.write(bytes(starts[index] - 4 - file.tell()))
                file.write(struct.pack("<I", size))
                for block in blocks:
                    file.write(block)


def _tensor_indices(entries: Iterable) -> dict[str, int]:
    return {entry.name.decode(): entry.tensorIndex for entry in entries}
