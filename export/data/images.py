"""Find images, decode them, and keep many of them; needs Pillow."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.items import Item, is_hidden
from keras_inception_export.data.preprocessing import Preprocessing
from keras_inception_export.data.reading import reading
from keras_inception_export.data.rows import Rows, Spool, joined
from keras_inception_export.errors import (
    ExportError,
    RequestError,
    check_regular,
)
from keras_inception_export.logs import printable

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"),
    *(".tif", ".tiff"),
)

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
"""The kinds of images that are read: Pillow goes by the content of a file, and
runs programs for some other kinds."""


def is_image(path: Path) -> bool:
    """Return whether the suffix of a file is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def images_in(folder: Path, above: frozenset = frozenset()) -> Iterator[Path]:
    """Yield the image files in a folder, at any depth, but hidden ones.

    They are in the order of their names; only one folder's names are in
    memory. A link to a folder is followed, unless it leads back to a folder
    that contains it, which is in `above`.
    """
    status = os.stat(folder)
    own = status.st_dev, status.st_ino
    if own in above:
        return
    with os.scandir(folder) as entries:
        found = sorted(
            (
                entry.name,
                entry.is_dir(follow_symlinks=False)
                or (entry.is_symlink() and os.path.isdir(entry)),  # or a loop
            )
            for entry in entries
            if not is_hidden(entry.name)
        )
    for name, is_folder in found:
        path = folder / name
        if is_folder:
            yield from images_in(path, above | {own})
        elif is_image(path):
            yield path


def decoded(item: Item, preprocessing: Preprocessing) -> np.ndarray:
    """Return the sample of one image, without an axis for the batch.

    Raises:
        RequestError: if it cannot be read, or Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise RequestError(
            f"{item.name} is an image, which needs the package pillow; install "
            "pillow, or give a .npy"
        ) from None
    content: Any = item.content
    if isinstance(content, Path):
        check_regular(content)
    if isinstance(content, bytes):
        content = BytesIO(content)
    with reading(item.name, error=RequestError):
        if isinstance(content, Image.Image):
            return preprocessing(content)
        try:
            opened = Image.open(content, formats=FORMATS)
        except UnidentifiedImageError:  # its message has an address in memory
            raise ValueError(
                "cannot identify image file; expected one of "
                f"{', '.join(FORMATS)}"
            ) from None
        with opened as image:
            return preprocessing(image)


class Images:
    """Any number of images, each decoded whenever it is needed.

    Those of an archive are in a temporary file until then.
    """

    def __init__(self) -> None:
        self._spool = Spool()
        self._kept: list[str | tuple[str, Any]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def append(self, item: Item) -> None:
        """Add an image; raise the error if it cannot be read."""
        content = item.content
        if isinstance(content, ExportError):
            raise content
        if isinstance(content, Path):
            self._kept.append(str(content))  # as small as possible
            return
        if isinstance(content, bytes):
            content = self._spool.file.tell(), len(content)
            self._spool.file.write(item.content)
        self._kept.append((item.name, content))

    def rows(self, preprocessing: Preprocessing, origin: str) -> Rows:
        """Return the images as an input of the model."""

        def decode(number: int) -> np.ndarray:
            kept = self._kept[number]
            if isinstance(kept, str):
                kept = printable(kept), Path(kept)
            name, content = kept
            if isinstance(content, tuple):
                start, size = content
                content = os.pread(self._spool.file.fileno(), size, start)
            return decoded(Item(name, content), preprocessing)

        def read(numbers: np.ndarray) -> np.ndarray:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                found = pool.map(decode, numbers.tolist())
                return joined([x[None] for x in (first, *found)], origin)[1:]

        self._spool.file.flush()
        first = decode(0)
        return Rows((len(self), *first.shape), first.dtype, read)
