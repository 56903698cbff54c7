"""The metadata of a TFLite file: a file in a zip archive at its end.

This is how TFLite adds files to a model. LiteRT reads the flatbuffer at the
start, and any zip tool the archive at the end.
"""

import zipfile
from pathlib import Path

from keras_inception_export.data.metadata import NAME

MEMBER = f"{NAME}.json"
LARGEST = 2**26
"""The largest size in bytes; what is unpacked may be far larger than a file."""


def attach(path: Path, text: bytes) -> None:
    """Append the archive, with offsets from the start of the file."""
    with open(path, "r+b") as file:
        file.seek(0, 2)
        with zipfile.ZipFile(file, "w") as archive:
            # `ZipInfo` has a fixed date, so that equal content has equal bytes.
            archive.writestr(zipfile.ZipInfo(MEMBER), text)


def attached(path: Path) -> bytes | None:
    """Return the content of the member."""
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if MEMBER not in archive.namelist():
            return None
        if archive.getinfo(MEMBER).file_size > LARGEST:
            raise ValueError(f"{MEMBER} has more than {LARGEST:,} bytes")
        return archive.read(MEMBER)
