"""The encoding of protobuf messages, as far as ONNX files need it.

A message is the sequence of its fields, each a number, a wire type and the
contents. So a file can be written, read and extended without loading the
weights in it.
"""

import io
from collections.abc import Iterator
from typing import BinaryIO

_VARINT, _BYTES = 0, 2
_FIXED_SIZES = {1: 8, 5: 4}  # bytes per value, by wire type


def message(field: int, content: bytes) -> bytes:
    """Return a field that contains a message or a string."""
    return key(field, len(content)) + content


def key(field: int, length: int) -> bytes:
    """Return the bytes that precede a field's `length` bytes of content."""
    return _varint(field << 3 | _BYTES) + _varint(length)


def fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and length of each field that contains bytes."""
    start = file.tell()
    while start < end:
        file.seek(start)
        number = _read_varint(file)
        kind = number & 7
        if kind in (_VARINT, _BYTES):
            length = _read_varint(file)
        else:
            length = _FIXED_SIZES[kind]
        start = file.tell()
        if kind == _BYTES:
            yield number >> 3, start, length
        if kind != _VARINT:
            start += length


def parse(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each field of a message, as `fields` does."""
    for number, start, length in fields(io.BytesIO(content), len(content)):
        yield number, content[start : start + length]


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _read_varint(file: BinaryIO) -> int:
    number = shift = 0
    while shift < 64:
        (byte,) = file.read(1)
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
        shift += 7
    raise ValueError("a number of more than 64 bits")
