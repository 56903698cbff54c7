"""Finishing the converter's flatbuffer: large weights, names and order.

A `.tflite` file is one flatbuffer, and Python's flatbuffer builder holds
several copies of what it writes. So only the structure is repacked here. The
contents of every large buffer are appended behind it, and the buffer's table
is pointed there: an offset in a flatbuffer may point to any later byte.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.unique_name import unique_name

# TFLite asks for this alignment of a buffer's contents.
_ALIGNMENT = 16
# The runtime refuses a larger flatbuffer.
_LARGEST_FILE = 2**31 - 1
# Buffers up to this many bytes stay inside the repacked structure.
_SMALL_BUFFER = 1024
# The place of `data` in the table `Buffer` of TFLite's schema.
_DATA_FIELD = 4
# Where each operator takes a large weight: (operator, place of the input).
_WEIGHT_PLACES = {("FULLY_CONNECTED", 1), ("CONV_2D", 1), ("GATHER", 0)}
# Where each operator takes its kernel.
_KERNEL_PLACES = {
    "BATCH_MATMUL": 1,
    "CONV_2D": 1,
    "CONV_3D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "FULLY_CONNECTED": 1,
    "TRANSPOSE_CONV": 1,
}


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


@dataclass(frozen=True)
class Operator:
    """One step of the graph.

    Args:
        name: what it is in TFLite's schema, `CONV_2D` say.
        inputs: indices of the tensors it reads; -1 for one that is left out.
        outputs: indices of the tensors it computes.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def kernel(self) -> int:
        """Index of the tensor that it takes as its kernel; -1 if it has none.

        The tensor may be a constant or not.
        """
        place = _KERNEL_PLACES.get(self.name)
        return -1 if place is None else self.inputs[place]


class Structure:
    """A TFLite file, taken apart.

    Args:
        data: its bytes. They are not copied.
    """

    def __init__(self, data: bytes):
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._model = schema.ModelT.InitFromPackedBuf(data)
        self._signature = self._model.signatureDefs[0]
        self.graph = self._model.subgraphs[self._signature.subgraphIndex]
        self.tensors = self.graph.tensors
        self._inputs = _tensor_indices(self._signature.inputs)
        self._outputs = _tensor_indices(self._signature.outputs)

    def operators(self) -> Iterator[Operator]:
        """Yield the steps of the main graph, in the order of computation."""
        numbers = vars(self._schema.BuiltinOperator)
        names = {value: name for name, value in numbers.items()}
        for entry in self.graph.operators:
            code = self._model.operatorCodes[entry.opcodeIndex]
            yield Operator(
                names[max(code.builtinCode, code.deprecatedBuiltinCode)],
                tuple(entry.inputs if entry.inputs is not None else ()),
                tuple(entry.outputs if entry.outputs is not None else ()),
            )

    def kernels(self) -> Iterator[tuple[Operator, int]]:
        """Yield each operator that has a kernel, and the constant it is in.

        A kernel may be stored in fewer bits than the operator reads.
        """
        sources = {}
        for operator in self.operators():
            if operator.name == "DEQUANTIZE":
                sources[operator.outputs[0]] = operator.inputs[0]
            kernel = sources.get(operator.kernel, operator.kernel)
            if kernel >= 0 and self._is_constant(kernel):
                yield operator, kernel

    def weights(self, tensor: int) -> np.ndarray:
        """Return a constant of float32, not copied."""
        entry = self.tensors[tensor]
        data = self._model.buffers[entry.buffer].data
        return np.frombuffer(data, np.float32).reshape(entry.shape)

    def _is_constant(self, tensor: int) -> bool:
        buffer = self._model.buffers[self.tensors[tensor].buffer]
        return buffer.data is not None and len(buffer.data) > 0

    def is_float(self, tensor: int) -> bool:
        """Tell whether a tensor is of float32 or float16."""
        types = self._schema.TensorType
        return self.tensors[tensor].type in (types.FLOAT32, types.FLOAT16)

    def is_weight(self, name: str) -> bool:
        """Tell whether every reader of this input takes it as its weight.

        Otherwise the operator would compute on it (transpose it, say) at each
        call, and the converter must be given the contents to fold.
        """
        index = self._inputs[name]
        readers = [
            (operator.name, place)
            for operator in self.operators()
            for place, tensor in enumerate(operator.inputs)
            if tensor == index
        ]
        return bool(readers) and _WEIGHT_PLACES.issuperset(readers)

    def name_of(self, tensor: int) -> str:
        """Return the name of a tensor of the main graph."""
        return _text(self.tensors[tensor].name)

    def set_range(self, tensor: int, limits: Sequence[float]) -> None:
        """Note a tensor's smallest and largest value, for the converter.

        Args:
            tensor: index of the tensor.
            limits: the two values; none if its range is not to be known.
        """
        quantization = self._schema.QuantizationParametersT()
        quantization.min, quantization.max = limits[:1], limits[1:]
        self.tensors[tensor].quantization = quantization

    def rename(self, settle: Callable[[str], str]) -> None:
        """Give every graph and tensor a new name.

        Args:
            settle: returns the new name for an old one. A number is added
                where two tensors of a graph would get the same.
        """
        for graph in self._model.subgraphs:
            graph.name = settle(_text(graph.name))
            taken: set[str] = set()
            for tensor in graph.tensors:
                tensor.name = unique_name(settle(_text(tensor.name)), taken)

    def write(
        self,
        path: Path,
        inputs: Sequence[tuple[str, str]],
        outputs: Sequence[tuple[str, str]],
        weights: Iterable[tuple[str, LargeWeight]] = (),
    ) -> None:
        """Bind names and weights, and write the finished file.

        Args:
            path: the file to write.
            inputs: (name so far, final name), in declared order.
            outputs: the same for the outputs.
            weights: (name so far, weight).

        Raises:
            ConversionError: the file would be larger than TFLite allows.
        """
        signature, graph = self._signature, self.graph
        contents: dict[int, tuple[int, Iterable]] = {}
        for name, weight in weights:
            tensor = self.tensors[self._inputs[name]]
            tensor.name = weight.variable.path
            tensor.buffer = len(self._model.buffers)
            contents[tensor.buffer] = weight.nbytes, weight.blocks()
            self._model.buffers.append(self._schema.BufferT())
        signature.outputs, graph.outputs = self._bind(self._outputs, outputs)
        signature.inputs, graph.inputs = self._bind(self._inputs, inputs)
        self.save(path, contents)

    def _bind(
        self,
        indices: dict[str, int],
        names: Sequence[tuple[str, str]],
    ) -> tuple[list, list[int]]:
        """Return a signature's entries and their tensors, with final names."""
        entries = []
        for name, final_name in names:
            entry = self._schema.TensorMapT()
            entry.name, entry.tensorIndex = final_name, indices[name]
            self.tensors[indices[name]].name = final_name
            entries.append(entry)
        return entries, [entry.tensorIndex for entry in entries]

    def save(
        self,
        path: Path,
        contents: Mapping[int, tuple[int, Iterable]] | None = None,
    ) -> None:
        """Write the file as it is.

        Args:
            path: the file to write.
            contents: the size and the blocks of buffers, in the place of
                what they hold here.

        Raises:
            ConversionError: the file would be larger than TFLite allows.
        """
        held = [buffer.data for buffer in self._model.buffers]
        contents = {
            index: (len(data), [data])
            for index, data in enumerate(held)
            if data is not None and len(data) > _SMALL_BUFFER
        } | dict(contents or {})
        for index in contents:
            self._model.buffers[index].data = np.zeros(1, np.uint8)
        self._write_packed(path, contents)
        for index in contents:
            self._model.buffers[index].data = held[index]

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


def _text(name: bytes | str | None) -> str:
    return name.decode() if isinstance(name, bytes) else name or ""
