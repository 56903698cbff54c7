"""Find what is to be read: in files, folders, archives and arrays.

image            .png, .jpg, .jpeg, .bmp, .gif, .webp, .tif, .tiff
folder           the images in it, at any depth, but hidden ones, in the
                 order of their names
pattern          such as "photos/**/*.jpg": the files and folders it matches,
                 but folders that contain others of them
.npy, .npz       one sample per row, which the model gets as it is
.parquet         a column of images
.tar, .tar.gz    the images in it
from Python      also arrays, dictionaries of arrays by input name, and
                 images that Pillow opened
"""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.data.archives import open_parquet, open_tar
from keras_inception_export.data.images import IMAGE_SUFFIXES, images_in
from keras_inception_export.data.input_arrays import (
    as_array,
    by_input,
    check_array,
)
from keras_inception_export.data.items import Item, Labels, Opened
from keras_inception_export.data.labels import folder_classes
from keras_inception_export.data.npz import open_rows
from keras_inception_export.data.reading import reading
from keras_inception_export.data.rows import parts
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import (
    ExportError,
    RequestError,
    check_regular,
)
from keras_inception_export.logs import printable

READERS = {
    (".npy", ".npz"): lambda path, specs: _open_arrays(path, specs),
    (".parquet",): lambda path, specs: open_parquet(path),
    (".tar", ".tar.gz", ".tgz"): lambda path, specs: open_tar(path),
    IMAGE_SUFFIXES: lambda path, specs: Opened(
        lambda: iter([Item(str(path), path)]), lambda: 1
    ),
}
"""What opens a file, by the end of its name."""


class Sources:
    """Inputs as a stream of items.

    Args:
        inputs: one of the inputs above, or any number of them. If it is a
            list or a tuple, all of them are checked at once, before anything
            is run.
        specs: the inputs of the model.
        preprocess: how images become inputs, as a user says, which arrays
            must not come with. Defaults to `None`: a user says nothing.

    Raises:
        RequestError: if one of them does not exist, is not recognised, or
            does not fit the model.
    """

    def __init__(
        self, inputs: Any, specs: Sequence[TensorSpec], preprocess: Any = None
    ) -> None:
        single = isinstance(inputs, (str, Path, Mapping)) or not isinstance(
            inputs, Iterable
        )
        if single or hasattr(inputs, "__array__"):
            inputs = [inputs]
        self._inputs, self._specs = inputs, specs
        self._preprocess = preprocess
        self._listed = isinstance(inputs, (list, tuple))
        self.images: bool | None = None
        """Whether some are images; `None` if that is not known beforehand."""
        if self._listed:
            self.images = any([opened.images for opened in self.opened()])

    def count(self) -> int | None:
        """Return how many items there are; `None` if that is not known."""
        if not self._listed:
            return None
        counts = [opened.count() for opened in self.opened()]
        return None if None in counts else sum(map(int, filter(None, counts)))

    def __iter__(self) -> Iterator[Item]:
        for opened in self.opened():
            yield from opened.items()

    def opened(self) -> Iterator[Opened]:
        """Yield the inputs, each once it is checked."""
        for value in self._inputs:
            for opened in self._opened(value):
                if self._preprocess is not None and not opened.images:
                    raise RequestError(
                        "got a preprocessing, but not only images: arrays are "
                        "taken as they are; scale them, and leave the "
                        "preprocessing out"
                    )
                yield opened

    def _opened(self, value: Any) -> Iterator[Opened]:
        if isinstance(value, (str, Path)):
            for path in matches(value):
                yield _guarded(path, _open(path, self._specs))
        else:
            yield _open_value(value, self._specs)


def matches(value: str | Path) -> Iterator[Path]:
    """Yield the path, or those that a pattern matches."""
    if value == "":  # which Python takes for the current folder
        raise RequestError("an input is empty; expected a path or a pattern")
    if os.path.lexists(value) or not set("*?[") & set(str(value)):
        yield Path(value)
        return
    found = sorted(glob.iglob(str(value), recursive=True))
    if not found:
        raise RequestError(
            f"{value} matches no file; expected a pattern "
            'such as "photos/**/*.jpg"'
        )
    # All that is in a folder would be read once more.
    paths = [Path(name) for name in found]
    folders = {path.parent for path in paths}
    above = folders.union(*(folder.parents for folder in folders))
    yield from (path for path in paths if path not in above)


def _open(path: Path, specs: Sequence[TensorSpec]) -> Opened:
    check_regular(path)
    if path.is_dir():
        with reading(path, error=RequestError):
            if next(images_in(path), None) is None:
                raise RequestError(
                    f"{path} contains no images: expected files ending in "
                    f"{', '.join(IMAGE_SUFFIXES)}; for other files, give a "
                    'pattern such as "data/*.parquet"'
                )
        return Opened(
            lambda: (Item(str(x), x) for x in images_in(path)),
            lambda: sum(1 for _ in images_in(path)),
            lambda: folder_classes(path, images_in(path)),
        )
    for suffixes, opener in READERS.items():
        if path.name.lower().endswith(suffixes):
            return opener(path, specs)
    raise RequestError(
        f"{path} is not a recognised input: expected an image, a folder of "
        "images, .npy, .npz, .parquet or .tar"
    )


def _open_arrays(path: Path, specs: Sequence[TensorSpec]) -> Opened:
    with reading(path, error=RequestError):
        source = open_rows(path)
    arrays = by_input(source, specs, str(path))
    has_labels = isinstance(source, Mapping) and "y" in source
    if not has_labels or "y" in arrays:
        return _of_arrays(str(path), arrays)
    return _of_arrays(str(path), arrays, lambda: Labels(list(source["y"][:])))


def _open_value(value: Any, specs: Sequence[TensorSpec]) -> Opened:
    """Open an image of Pillow, or arrays of samples or of one sample."""
    if hasattr(value, "convert"):
        name = printable(str(getattr(value, "filename", "") or "image"))
        return Opened(lambda: iter([Item(name, value)]))
    origin, source = "the input", value
    if not isinstance(value, Mapping):
        source = as_array(value, origin)
        if not source.ndim:
            raise RequestError(
                f"{origin} has the type {type(value).__name__}; expected a "
                "path, an image of Pillow, an array, or arrays by input name"
            )
        if len(specs) == 1 and source.ndim == len(specs[0].shape) - 1:
            source = source[None]
    arrays = by_input(source, specs, origin)
    for spec in specs:
        arrays[spec.name] = check_array(arrays[spec.name], spec, origin)
    return _of_arrays("array", arrays)


def _of_arrays(
    name: str, arrays: Mapping[str, Any], labels: Any = lambda: None
) -> Opened:
    """Return an item per row."""
    count = len(next(iter(arrays.values())))

    def items():
        rows = zip(*map(_rows, arrays.values()), strict=True)
        for number, row in enumerate(rows):
            called = f"{name}[{number}]" if count > 1 else name
            yield Item(called, dict(zip(arrays, row, strict=True)))

    return Opened(items, lambda: count, labels, arrays)


def _rows(array: Any) -> Iterator[np.ndarray]:
    for part in parts(array):
        yield from part


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

    return replace(opened, items=items)
