"""Find what is to be predicted: in files, folders, archives and arrays.

image            .png, .jpg, .jpeg, .bmp, .gif, .webp
folder           the images in it, at any depth, but hidden ones, in the
                 order of their names
pattern          such as "photos/**/*.jpg": the files and folders it matches
.npy, .npz       one sample per row, which the model gets as it is
.parquet         a column of images
.tar, .tar.gz    the images in it
from Python      also arrays, dictionaries of arrays by input name, and
                 images that Pillow opened
"""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.images import IMAGE_SUFFIXES, images_in
from keras_inception_export.data.reading import reading
from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import (
    ExportError,
    RequestError,
    check_regular,
)
from keras_inception_export.logs import printable
from keras_inception_export.prediction.archives import (
    open_parquet,
    open_tar,
)
from keras_inception_export.prediction.arrays import ArrayRows
from keras_inception_export.prediction.items import Item, Opened

READERS = {
    (".npy", ".npz"): lambda path, specs: _open_arrays(path, specs),
    (".parquet",): lambda path, specs: open_parquet(path),
    (".tar", ".tar.gz", ".tgz"): lambda path, specs: open_tar(path),
    IMAGE_SUFFIXES: lambda path, specs: Opened(
        lambda: iter([Item(str(path), path)]), True, lambda: 1
    ),
}
"""What opens a file, by the end of its name."""


class Sources:
    """The inputs of a prediction, as a stream of items.

    Args:
        inputs: one of the inputs above, or any number of them. If it is a
            list or a tuple, all of them are checked at once, before anything
            is run.
        specs: the inputs of the model.

    Raises:
        RequestError: if one of them does not exist, is not recognised, or
            does not fit the model.
    """

    def __init__(self, inputs: Any, specs: Sequence[TensorSpec]) -> None:
        single = isinstance(inputs, (str, Path, Mapping)) or not isinstance(
            inputs, Iterable
        )
        if single or hasattr(inputs, "__array__"):
            inputs = [inputs]
        self._inputs, self._specs = inputs, specs
        self._listed = isinstance(inputs, (list, tuple))
        self.images: bool | None = None
        """Whether some are images; `None` if that is not known beforehand."""
        if self._listed:
            self.images = any([opened.images for opened in self._opened()])

    def count(self) -> int | None:
        """Return how many items there are; `None` if that is not known."""
        if not self._listed:
            return None
        counts = [opened.count() for opened in self._opened()]
        return None if None in counts else sum(map(int, filter(None, counts)))

    def __iter__(self) -> Iterator[Item]:
        for opened in self._opened():
            yield from opened.items()

    def _opened(self) -> Iterator[Opened]:
        for value in self._inputs:
            if isinstance(value, (str, Path)):
                for path in _matches(value):
                    yield _guarded(path, _open(path, self._specs))
            else:
                yield _open_value(value, self._specs)


def _matches(value: str | Path) -> Iterator[Path]:
    """Yield the path, or those that a pattern matches."""
    if os.path.lexists(value) or not set("*?[") & set(str(value)):
        yield Path(value)
        return
    found = sorted(glob.iglob(str(value), recursive=True))
    if not found:
        raise RequestError(
            f"{value} matches no file; expected a pattern "
            'such as "photos/**/*.jpg"'
        )
    yield from map(Path, found)


def _open(path: Path, specs: Sequence[TensorSpec]) -> Opened:
    check_regular(path)
    if path.is_dir():
        if next(images_in(path), None) is None:
            raise RequestError(
                f"{path} contains no images: expected files ending in "
                f"{', '.join(IMAGE_SUFFIXES)}; for other files, give a pattern "
                'such as "data/*.parquet"'
            )
        return Opened(
            lambda: (Item(printable(str(x)), x) for x in images_in(path)),
            True,
            lambda: sum(1 for _ in images_in(path)),
        )
    for suffixes, opener in READERS.items():
        if path.name.lower().endswith(suffixes):
            return opener(path, specs)
    raise RequestError(
        f"{path} is not a recognised input: expected an image, a folder of "
        "images, .npy, .npz, .parquet or .tar"
    )


def _open_arrays(path: Path, specs: Sequence[TensorSpec]) -> Opened:
    rows = ArrayRows(path, specs)
    return Opened(
        lambda: _numbered(str(path), rows, rows.count),
        False,
        lambda: rows.count,
    )


def _open_value(value: Any, specs: Sequence[TensorSpec]) -> Opened:
    """Open an image of Pillow, or arrays of samples or of one sample."""
    if hasattr(value, "convert"):
        name = getattr(value, "filename", "") or "image"
        return Opened(lambda: iter([Item(printable(str(name)), value)]), True)
    single = not isinstance(value, Mapping) and (
        len(specs) == 1 and np.ndim(value) == len(specs[0].shape) - 1
    )
    source = np.asarray(value)[None] if single else value
    samples = load_samples(source, specs)
    rows = (
        {name: array[i] for name, array in samples.inputs.items()}
        for i in range(len(samples))
    )
    return Opened(
        lambda: _numbered("array", rows, len(samples)),
        False,
        lambda: len(samples),
    )


def _numbered(
    name: str, rows: Iterable[Mapping[str, np.ndarray]], count: int
) -> Iterator[Item]:
    for number, row in enumerate(rows):
        yield Item(f"{name}[{number}]" if count > 1 else name, row)


def _guarded(path: Path, opened: Opened) -> Opened:
    """Return a source that ends in an item with an error if it is damaged."""

    def items():
        problem = "cannot be read any further"
        try:
            with reading(path, problem, error=RequestError):
                for item in opened.items():
                    yield Item(printable(item.name), item.content)
        except ExportError as error:
            yield Item(printable(str(path)), error)

    return Opened(items, opened.images, opened.count)
