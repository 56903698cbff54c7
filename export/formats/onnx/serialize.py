"""Write an ONNX file field by field.

A serialized protobuf message is the sequence of its fields, so the weights
are written straight from memory, one at a time, and never copied into a
message.
"""

from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import SMALL, Constant, Graph
from keras_inception_export.formats.onnx.protobuf import key

PROTOBUF_LIMIT = 2**31 - 1 - 2**20
"""The size limit of a protobuf message in bytes, less what the metadata, which
is appended later, may need."""

PAGE = 4096
"""External tensors start at multiples of this many bytes, so that they can be
mapped into memory."""

CHUNK = 2**22
"""A weight is written, and if transposed copied, about this many elements at a
time."""

GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
INITIALIZER = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
RAW_DATA = onnx.TensorProto.RAW_DATA_FIELD_NUMBER


class _Initializer(NamedTuple):
    """A tensor's message up to its content; no content if that is external."""

    message: bytes
    content: Constant | None

    @property
    def length(self) -> int:
        return len(self.message) + (self.content.nbytes if self.content else 0)


def write_file(graph: Graph, path: Path) -> None:
    """Write the graph at `path`.

    If the file would exceed the limit, all constants except the small ones
    are written to a second file, named `path` with `.data` appended.
    """
    model = graph.header()
    nodes = model.graph.SerializeToString(deterministic=True)
    model.ClearField("graph")
    start = model.SerializeToString(deterministic=True)
    constants = graph.constants
    tensors = [_internal(name, constants[name]) for name in constants]
    length = len(nodes) + _length(tensors)
    if len(start + key(GRAPH, length)) + length > PROTOBUF_LIMIT:
        with open(path.with_name(f"{path.name}.data"), "wb") as data:
            tensors = [
                _internal(name, constant)
                if constant.size <= SMALL
                else _external(name, constant, data, f"{path.name}.data")
                for name, constant in constants.items()
            ]
    with open(path, "wb") as file:
        file.write(start + key(GRAPH, len(nodes) + _length(tensors)) + nodes)
        for tensor in tensors:
            file.write(key(INITIALIZER, tensor.length) + tensor.message)
            if tensor.content is not None:
                _write_content(tensor.content, file)


def _length(tensors: list[_Initializer]) -> int:
    """Return the bytes that initializers need in the graph's message."""
    return sum(len(key(INITIALIZER, x.length)) + x.length for x in tensors)


def _header(name: str, constant: Constant) -> onnx.TensorProto:
    return onnx.TensorProto(
        name=name,
        dims=constant.shape,
        data_type=onnx.helper.np_dtype_to_tensor_dtype(constant.dtype),
    )


def _internal(name: str, constant: Constant) -> _Initializer:
    message = _header(name, constant).SerializeToString(deterministic=True)
    return _Initializer(message + key(RAW_DATA, constant.nbytes), constant)


def _external(
    name: str, constant: Constant, data: BinaryIO, location: str
) -> _Initializer:
    """Write a constant to the second file; return the message that says so."""
    data.write(bytes(-data.tell() % PAGE))
    header = _header(name, constant)
    header.data_location = onnx.TensorProto.EXTERNAL
    for entry, value in (
        ("location", location),
        ("offset", str(data.tell())),
        ("length", str(constant.nbytes)),
    ):
        header.external_data.add(key=entry, value=value)
    _write_content(constant, data)
    return _Initializer(header.SerializeToString(deterministic=True), None)


def _write_content(constant: Constant, file: BinaryIO) -> None:
    value = constant.load()
    if constant.size <= SMALL:
        file.write(value.tobytes())
        return
    rows = max(1, CHUNK * len(value) // constant.size)
    for row in range(0, len(value), rows):
        part = np.ascontiguousarray(value[row : row + rows])
        # NumPy does not expose the memory of a bfloat16 array.
        file.write(part.view(np.uint8).data)
