"""An ONNX file, written field by field.

A serialized message is its fields one after the other, so the weights go to
the file straight from memory, one at a time, and never through a protobuf
message.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np
import onnx

from keras_inception_export.formats.onnx.graph import SMALL, Constant, Graph
from keras_inception_export.formats.onnx.protobuf import key

PROTOBUF_LIMIT = 2**31 - 1
"""The most bytes that a protobuf message can hold."""

PAGE = 4096
"""External tensors start at multiples of this, so that they can be mapped."""

CHUNK = 2**22
"""A transposed weight is copied about this many elements at a time."""

GRAPH = onnx.ModelProto.GRAPH_FIELD_NUMBER
INITIALIZER = onnx.GraphProto.INITIALIZER_FIELD_NUMBER
RAW_DATA = onnx.TensorProto.RAW_DATA_FIELD_NUMBER


def write_file(graph: Graph, path: Path) -> None:
    """Write the graph at `path`.

    Where the file would exceed the limit, all constants but the small ones go
    to a second file, named `path` with `.data` added.
    """
    model = graph.header()
    nodes = model.graph.SerializeToString(deterministic=True)
    model.ClearField("graph")
    start = model.SerializeToString(deterministic=True)
    tensors = {
        name: _tensor(name, constant)
        for name, constant in graph.constants.items()
    }
    inside = graph.constants
    length = len(nodes) + _length(tensors, inside)
    if len(start) + length > PROTOBUF_LIMIT:
        inside = {
            name: constant
            for name, constant in inside.items()
            if constant.size <= SMALL
        }
        outside = {
            name: constant
            for name, constant in graph.constants.items()
            if name not in inside
        }
        data = path.with_name(f"{path.name}.data")
        tensors.update(_write_external(outside, data))
        length = len(nodes) + _length(tensors, inside)
    with open(path, "wb") as file:
        file.write(start + key(GRAPH, length) + nodes)
        for name, tensor in tensors.items():
            content = inside[name].nbytes if name in inside else 0
            file.write(key(INITIALIZER, len(tensor) + content) + tensor)
            if name in inside:
                _write_content(inside[name], file)


def _length(tensors: dict[str, bytes], inside: dict[str, Constant]) -> int:
    """Return the bytes that the initializers fill in the graph's message."""
    lengths = [
        len(tensor) + (inside[name].nbytes if name in inside else 0)
        for name, tensor in tensors.items()
    ]
    return sum(len(key(INITIALIZER, length)) + length for length in lengths)


def _tensor(name: str, constant: Constant) -> bytes:
    """Return a tensor's message up to where its content follows."""
    message = _header(name, constant).SerializeToString(deterministic=True)
    return message + key(RAW_DATA, constant.nbytes)


def _header(name: str, constant: Constant) -> onnx.TensorProto:
    return onnx.TensorProto(
        name=name,
        dims=constant.shape,
        data_type=onnx.helper.np_dtype_to_tensor_dtype(constant.dtype),
    )


def _write_external(
    constants: dict[str, Constant], path: Path
) -> dict[str, bytes]:
    """Write constants to a file; return the messages that point into it."""
    messages = {}
    with open(path, "wb") as file:
        for name, constant in constants.items():
            file.write(bytes(-file.tell() % PAGE))
            header = _header(name, constant)
            header.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (
                ("location", path.name),
                ("offset", str(file.tell())),
                ("length", str(constant.nbytes)),
            ):
                header.external_data.add(key=key, value=value)
            messages[name] = header.SerializeToString(deterministic=True)
            _write_content(constant, file)
    return messages


def _write_content(constant: Constant, file: BinaryIO) -> None:
    value = constant.load()
    if constant.size <= SMALL:
        file.write(value.tobytes())
    elif value.flags.c_contiguous:
        file.write(value.data)
    else:
        rows = max(1, CHUNK * len(value) // constant.size)
        for row in range(0, len(value), rows):
            file.write(np.ascontiguousarray(value[row : row + rows]).data)
