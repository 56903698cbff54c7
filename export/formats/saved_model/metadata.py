"""The metadata of a SavedModel: a file in the folder for users' files."""

from pathlib import Path

from keras_inception_export.data.metadata import NAME

FILE = Path("assets.extra", f"{NAME}.json")


def attach(path: Path, text: bytes) -> None:
    """Write the file."""
    (path / FILE).write_bytes(text)


def attached(path: Path) -> bytes | None:
    """Return the content of the file."""
    file = path / FILE
    return file.read_bytes() if file.is_file() else None
