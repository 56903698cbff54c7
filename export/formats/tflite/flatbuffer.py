"""Read the converter's flatbuffer, change names and weights, write it again.

A `.tflite` file is one flatbuffer, and Python's flatbuffer builder holds
several copies of what it writes. So only the structure is packed again here.
The contents of every large buffer are appended to it, and the offset in the
buffer's table points there: it may point to any later byte of a flatbuffer.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_inception_export.errors import ConversionError
from keras_inception_export.formats.unique_name import unique_name

if TYPE_CHECKING:
    from keras_inception_export.formats.tflite.large_weights import LargeWeight

_ALIGNMENT = 16
"""Alignment of a buffer's contents in bytes, required by TFLite."""

_MAX_FILE_SIZE = 2**31 - 1
"""The runtime refuses a larger flatbuffer."""

_SMALL_BUFFER = 1024
"""Buffers of up to this many bytes are packed with the structure."""

_DATA_FIELD = 4
"""Offset of the field `data` in the table `Buffer` of TFLite's schema."""

_WEIGHT_INPUTS = {("FULLY_CONNECTED", 1), ("CONV_2D", 1), ("GATHER", 0)}
"""Inputs that take a large weight: (operator, index of the input)."""

_WITH_KERNEL = frozenset(
    "BATCH_MATMUL CONV_2D CONV_3D DEPTHWISE_CONV_2D FULLY_CONNECTED "
    "TRANSPOSE_CONV".split()
)
"""Operators whose second input is their kernel."""


@dataclass(frozen=True)
class Operator:
    """One operator of the graph, named as in TFLite's schema (`CONV_2D`).

    `inputs` and `outputs` are indices of tensors; -1 for an omitted input.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def kernel(self) -> int:
        """Index of its kernel, perhaps not a constant; -1 if it has none."""
        return self.inputs[1] if self.name in _WITH_KERNEL else -1


class Structure:
    """An unpacked TFLite file, whose bytes are not copied."""

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
        """Yield the operators of the main graph, in execution order."""
        codes = vars(self._schema.BuiltinOperator)
        names = {code: name for name, code in codes.items()}
        for entry in self.graph.operators:
            code = self._model.operatorCodes[entry.opcodeIndex]
            yield Operator(
                names[max(code.builtinCode, code.deprecatedBuiltinCode)],
                tuple(entry.inputs if entry.inputs is not None else ()),
                tuple(entry.outputs if entry.outputs is not None else ()),
            )

    def kernels(self) -> Iterator[tuple[Operator, int]]:
        """Yield each operator with a constant kernel, and that constant.

        The constant may have fewer bits than what the operator reads: a
        DEQUANTIZE operator is then between them.
        """
        sources = {}
        for operator in self.operators():
            if operator.name == "DEQUANTIZE":
                sources[operator.outputs[0]] = operator.inputs[0]
            kernel = sources.get(operator.kernel, operator.kernel)
            if kernel >= 0 and self._data(kernel) is not None:
                yield operator, kernel

    def weights(self, tensor: int) -> np.ndarray:
        """Return the values of a float32 constant, without a copy."""
        values = np.frombuffer(self._data(tensor), np.float32)
        return values.reshape(self.tensors[tensor].shape)

    def _data(self, tensor: int) -> Any:
        """Return the bytes of a constant; `None` for another tensor."""
        data = self._model.buffers[self.tensors[tensor].buffer].data
        return None if data is None or len(data) == 0 else data

    def is_float(self, tensor: int) -> bool:
        """Return whether the type of a tensor is float32 or float16."""
        types = self._schema.TensorType
        return self.tensors[tensor].type in (types.FLOAT32, types.FLOAT16)

    def is_float32(self, tensor: int) -> bool:
        """Return whether the type of a tensor is float32."""
        return self.tensors[tensor].type == self._schema.TensorType.FLOAT32

    def is_weight(self, name: str) -> bool:
        """Return whether every reader of an input takes it as its weight.

        Otherwise the operator would compute on it (transpose it, say) in each
        call, and the converter needs the contents to fold that.
        """
        index = self._inputs[name]
        readers = [
            (operator.name, position)
            for operator in self.operators()
            for position, tensor in enumerate(operator.inputs)
            if tensor == index
        ]
        return bool(readers) and _WEIGHT_INPUTS.issuperset(readers)

    def name_of(self, tensor: int) -> str:
        """Return the name of a tensor of the main graph."""
        return _text(self.tensors[tensor].name)

    def set_range(self, tensor: int, limits: Sequence[float]) -> None:
        """Record a tensor's smallest and largest value, for the converter.

        Empty `limits` remove the range.
        """
        quantization = self._schema.QuantizationParametersT()
        quantization.min, quantization.max = limits[:1], limits[1:]
        self.tensors[tensor].quantization = quantization

    def rename(self, new_name: Callable[[str], str]) -> None:
        """Rename every graph and tensor.

        A number is added where two tensors of a graph would have equal names.
        """
        for graph in self._model.subgraphs:
            graph.name = new_name(_text(graph.name))
            used: set[str] = set()
            for tensor in graph.tensors:
                tensor.name = unique_name(new_name(_text(tensor.name)), used)

    def write(
        self,
        path: Path,
        inputs: Sequence[tuple[str, str]],
        outputs: Sequence[tuple[str, str]],
        weights: Iterable[tuple[str, "LargeWeight"]] = (),
    ) -> None:
        """Set the final signature and the large weights, and write the file.

        Args:
            inputs: pairs (present name, final name), in the declared order.
            weights: pairs (present name of the input, weight). These inputs
                become constants.
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
        self, indices: Mapping[str, int], names: Sequence[tuple[str, str]]
    ) -> tuple[list, list[int]]:
        """Return a signature's entries and their tensors, with final names."""
        entries: list[Any] = []
        for name, final_name in names:
            entry = self._schema.TensorMapT()
            entry.name, entry.tensorIndex = final_name, indices[name]
            if any(x.tensorIndex == indices[name] for x in entries):
                entry.tensorIndex = self._computed_again(indices[name])
            self.tensors[entry.tensorIndex].name = final_name
            entries.append(entry)
        return entries, [entry.tensorIndex for entry in entries]

    def _computed_again(self, tensor: int) -> int:
        """Return a tensor that the operator of another one computes again.

        LiteRT does not tell the order of two outputs that are one tensor.
        """
        for operator in self.graph.operators:
            outputs = list(operator.outputs)
            if tensor in outputs:
                again = copy(operator)
                again.outputs = [
                    len(self.tensors) + i for i in range(len(outputs))
                ]
                self.tensors.extend(copy(self.tensors[x]) for x in outputs)
                self.graph.operators.append(again)
                return again.outputs[outputs.index(tensor)]
        return tensor

    def save(
        self,
        path: Path,
        contents: Mapping[int, tuple[int, Iterable]] = MappingProxyType({}),
    ) -> None:
        """Write the file as it is, but for the contents of some buffers.

        `contents` has, by a buffer's index, the size in bytes and the blocks
        to write instead of its own contents.
        """
        import flatbuffers

        buffers = self._model.buffers
        own = [buffer.data for buffer in buffers]
        contents = {
            index: (len(data), [data])
            for index, data in enumerate(own)
            if data is not None and len(data) > _SMALL_BUFFER
        } | dict(contents)
        for index in contents:
            buffers[index].data = np.zeros(1, np.uint8)
        builder = flatbuffers.Builder()
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        packed = builder.Output()
        for index in contents:
            buffers[index].data = own[index]
        model = self._schema.Model.GetRootAs(packed)
        end = len(packed)
        starts = {}
        for index, (size, _) in contents.items():
            # A vector is its length, in four bytes, and then the contents.
            start = -(-(end + 4) // _ALIGNMENT) * _ALIGNMENT
            table = model.Buffers(index)._tab
            field = table.Pos + table.Offset(_DATA_FIELD)
            if start + size > _MAX_FILE_SIZE:
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
