"""The encoding of protobuf messages, as far as ONNX files need it.

A message is its fields one after the other, each a number, a kind and the
contents. So a file can be written, read and added to without the weights in
it going through memory.
"""

from collections.abc import Iterator
from typing import BinaryIO

_BYTES = 2
# Bytes of a value of the other kinds: a number of 8 bytes, of 4.
_SIZES = {1: 8, 5: 4}


def message(field: int, content: bytes) -> bytes:
    """Return a field that holds a message or a string."""
    return key(field, len(content)) + content


def key(field: int, length: int) -> bytes:
    """Return what stands before a field of `length` bytes."""
    return _varint(field << 3 | _BYTES) + _varint(length)


def fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and length of each field that holds bytes.

    Args:
        file: read from where it stands; it may be moved meanwhile.
        end: where the message ends.
    """
    start = file.tell()
    while start < end:
        file.seek(start)
        number = _read_varint(file)
        kind = number & 7
        length = _read_varint(file) if kind in (0, _BYTES) else _SIZES[kind]
        start = file.tell()
        if kind == _BYTES:
            yield number >> 3, start, length
        if kind != 0:
            start += length


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_varint(file: BinaryIO) -> int:
    number = shift = 0
    while True:
        (byte,) = file.read(1)
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number
        shift += 7
