"""The metadata of an ONNX file: an entry of its `metadata_props`.

The fields of a protobuf message may be in any order, so the entry is appended
to the file, and read without loading the weights.
"""

from pathlib import Path

from keras_inception_export.data.metadata import NAME
from keras_inception_export.formats.onnx.protobuf import fields, message, parse

METADATA_PROPS = 14
"""The field of ONNX's ModelProto that contains an entry."""

KEY, VALUE = 1, 2
"""Fields of its StringStringEntryProto."""


def attach(path: Path, text: bytes) -> None:
    """Append the entry."""
    with open(path, "ab") as file:
        entry = message(KEY, NAME.encode()) + message(VALUE, text)
        file.write(message(METADATA_PROPS, entry))


def attached(path: Path) -> bytes | None:
    """Return the value of the entry."""
    with open(path, "rb") as file:
        found = [
            (start, length)
            for number, start, length in fields(file, path.stat().st_size)
            if number == METADATA_PROPS
        ]
        for start, length in reversed(found):
            file.seek(start)
            entry = dict(parse(file.read(length)))
            if entry.get(KEY) == NAME.encode():
                return entry.get(VALUE, b"")
    return None
