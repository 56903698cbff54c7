"""Images in Parquet files and in tar archives, such as those of webdataset.

They are streamed, and nothing is written to the disk.
"""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_inception_export.data.images import is_image
from keras_inception_export.data.items import (
    MAX_BYTES,
    Item,
    Labels,
    Opened,
    is_hidden,
)
from keras_inception_export.data.labels import label_in
from keras_inception_export.data.reading import check_expansion, reading
from keras_inception_export.errors import RequestError

IMAGE_COLUMNS = ("image", "img", "jpg", "png")
"""Which column is taken if several contain bytes."""

BUFFER = 2**20

MAX_LABEL = 2**20
"""Bytes of the largest file of one label."""


class _Member(tarfile.TarInfo):
    """A member whose damaged header is an error, not the end of the archive."""

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        """Return the member of a header; ReadError if it is damaged."""
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise  # the regular end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError("it is damaged or ends early") from error


def open_tar(path: Path) -> Opened:
    """Open a tar archive; its images are its files with an image's suffix.

    The label of an image is in the `.cls` or `.json` file whose name is the
    same up to the first dot, as in webdataset.
    """
    with (
        reading(path, error=RequestError),
        tarfile.open(path, "r|*", tarinfo=_Member) as archive,
    ):
        archive.next()
    return Opened(lambda: _tar_items(path), labels=lambda: _tar_labels(path))


def _members(path: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the files in an archive, but hidden ones."""
    declared, size = 0, path.stat().st_size
    with tarfile.open(path, "r|*", tarinfo=_Member) as archive:
        while (member := archive.next()) is not None:
            # An archive would keep what it knows of all its members.
            archive.members = []  # type: ignore[attr-defined]
            parts = Path(member.name).parts
            hidden = any(is_hidden(x) and x != ".." for x in parts)
            if member.isreg() and not hidden:
                if member.size <= MAX_BYTES:  # a larger one is not read
                    declared += member.size
                    check_expansion(declared, size)
                yield archive, member
            # Any member is skipped as far as its header says.
            check_expansion(archive.offset, size)


def _tar_items(path: Path) -> Iterator[Item]:
    for archive, member in _members(path):
        name = f"{path}/{member.name}"
        if not is_image(Path(member.name)):
            continue
        content: Any = archive.extractfile(member)
        if member.size > MAX_BYTES:
            message = f"{name} has {member.size} bytes: no image is so large"
            yield Item(name, RequestError(message))
        else:
            yield Item(name, content.read())


def _tar_labels(path: Path) -> Labels:
    images: list[str] = []
    found: dict[str, dict[str, Any]] = {".json": {}, ".cls": {}}
    for archive, member in _members(path):
        name = Path(member.name)
        key = str(name.with_name(name.name.partition(".")[0] or name.name))
        kind = name.suffix.lower()
        if is_image(name):
            images.append(key)
        elif kind in found:
            with reading(f"{path}/{member.name}", error=RequestError):
                if member.size > MAX_LABEL:
                    raise ValueError(f"its label has {member.size} bytes")
                if key in found[kind]:
                    raise ValueError("the archive has two of this name")
                file: Any = archive.extractfile(member)
                text = file.read().decode("utf-8-sig").strip()
                found[kind][key] = _label(text, kind)
    labels = found[".json"] | found[".cls"]
    return Labels([labels.get(key) for key in images])


def _label(text: str, kind: str) -> Any:
    """Return the number or name in a file; `None` if it is empty."""
    if kind == ".json":
        return label_in(json.loads(text))
    return int(text) if text.removeprefix("-").isdecimal() else text or None


def import_pyarrow(path: Path | str) -> Any:
    """Return the package that reads and writes a Parquet file."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise RequestError(
            f"{path} needs the package pyarrow; pip install pyarrow"
        ) from None
    return pyarrow


def open_parquet(path: Path) -> Opened:
    """Open a Parquet file with one column of images.

    A value is the bytes of an image file, or a structure with the field
    `bytes`, as Hugging Face's `datasets` writes it. Labels are in a column
    with a name of `LABEL_NAMES`.
    """
    with (
        reading(path, error=RequestError),
        import_pyarrow(path).parquet.ParquetFile(path) as file,
    ):
        schema, count = file.schema_arrow, file.metadata.num_rows
    columns = [field.name for field in schema if _has_bytes(field.type)]
    if len(columns) > 1:
        columns = [name for name in IMAGE_COLUMNS if name in columns]
    if not columns:
        raise RequestError(
            f"{path} has the columns {', '.join(schema.names)}; expected one "
            'column of image files, as bytes, or one with the name "image"'
        )
    return Opened(
        lambda: _parquet_items(path, columns[0]),
        lambda: int(count),
        lambda: _parquet_labels(path),
    )


def _has_bytes(kind: Any) -> bool:
    from pyarrow import types

    if types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    return types.is_binary(kind) or types.is_large_binary(kind)


def _parquet_items(path: Path, column: str) -> Iterator[Item]:
    # Without a buffer size, the images of a row group are in memory together.
    options: dict[str, Any] = {"buffer_size": BUFFER, "pre_buffer": False}
    with import_pyarrow(path).parquet.ParquetFile(path, **options) as file:
        parts = file.iter_batches(
            batch_size=16, columns=[column], use_threads=False
        )
        values = (value for part in parts for value in part.column(0))
        for number, value in enumerate(values):
            content = value.as_py()
            if isinstance(content, dict):
                content = content["bytes"]
            name = f"{path}[{number}]"
            if content is None:
                content = RequestError(f"{name} has no image")
            yield Item(name, content)


def _parquet_labels(path: Path) -> Labels | None:
    with import_pyarrow(path).parquet.ParquetFile(path) as file:
        schema = file.schema_arrow
        plain = [x.name for x in schema if not _has_bytes(x.type)]
        column = label_in(dict(zip(plain, plain, strict=True)))
        if column is None:
            return None
        values = file.read([column]).column(0).to_pylist()
    # What `datasets` knows of the columns.
    facts = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    features = facts.get("info", {}).get("features", {})
    names = features.get(column, {}).get("names", ())
    return Labels(values, [str(name) for name in names])
