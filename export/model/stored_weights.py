"""Compare the sizes that the file of a Keras model declares, before it is read.

The weights in a small file may declare any size, and so may the config. The
size of the file, its arrays and the variables of its model bound one another.
"""

import contextlib
import io
import math
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from keras_inception_export.data.reading import (
    FREE,
    WEIGHTS,
    check_members,
    stored_file,
)
from keras_inception_export.errors import RequestError

CONFIGS = ("config.json", "metadata.json")

MAX_RATIO = 8
"""How many times larger the arrays in a file may be than the variables of the
model, above `FREE`, and the reverse: optimizers have several per parameter."""

GZIP, SHUFFLE, CHECKSUM = 1, 2, 3  # HDF5's numbers of filters


def check_weights(path: Path, load: Callable[[Path], Any]) -> int:
    """Return how many bytes the weights of the model in a file may have.

    Args:
        path: a `.keras` file, or an HDF5 file with a whole model.
        load: loads such a file.

    Raises:
        RequestError: if the file declares more than the model has.
        ValueError: if the arrays cannot be checked.
    """

    def check(declared):
        free = max(FREE, MAX_RATIO * path.stat().st_size)
        if declared > free and not _is_as_large(path, load, declared):
            raise RequestError(
                f"{path} declares {declared / 1e9:.2g} GB of weights, more "
                "than the model in it has; save the model again"
            )

    with contextlib.ExitStack() as stack:
        file: Any = path
        if not h5py.is_hdf5(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            check_members(archive)
            check(sum(info.file_size for info in archive.infolist()))
            file = stored_file(archive, WEIGHTS)
            if file is None:
                file = io.BytesIO(archive.read(WEIGHTS))
        content = stack.enter_context(h5py.File(file))
        arrays = _arrays(content)
        declared = sum(data.size * data.dtype.itemsize for data in arrays)
        check(declared)
        for data in arrays:
            _check_stored(data)
    return max(FREE, MAX_RATIO * declared)


@contextlib.contextmanager
def limited_weights(limit: float) -> Iterator[list[int]]:
    """Raise ValueError once layers create weights of more bytes than `limit`.

    Yields:
        A list of the bytes of each weight.
    """
    original = keras.Layer.add_weight
    sizes: list[int] = []

    def add_weight(layer, shape=None, *args, **kwargs):
        sizes.append(4 * math.prod(n or 1 for n in shape or ()))
        if sum(sizes) > limit:
            raise ValueError(
                f"the config declares weights of {sum(sizes) / 1e9:.2g} GB, "
                "more than the file has"
            )
        return original(layer, shape, *args, **kwargs)

    keras.Layer.add_weight = add_weight
    try:
        yield sizes
    finally:
        keras.Layer.add_weight = original


def _is_as_large(
    path: Path, load: Callable[[Path], Any], declared: int
) -> bool:
    """Return whether a model, loaded without weights, is as large as declared.

    Loading fails after the model was made, because the weights are missing.
    """
    enough = declared / MAX_RATIO
    with (
        tempfile.TemporaryDirectory() as folder,
        limited_weights(enough) as sizes,
        contextlib.suppress(Exception),
    ):
        copy = Path(folder, "model")
        if h5py.is_hdf5(path):
            with h5py.File(path) as source, h5py.File(copy, "w") as target:
                target.attrs.update(source.attrs)
        else:
            with (
                zipfile.ZipFile(path) as old,
                zipfile.ZipFile(copy, "w") as new,
            ):
                for name in CONFIGS:
                    new.writestr(name, old.read(name))
        load(copy)
    return sum(sizes) > enough


def _arrays(content: h5py.File) -> list[h5py.Dataset]:
    """Return all arrays in an HDF5 file, once per name that they have.

    Raises:
        ValueError: if it refers to other files, or to an array repeatedly.
    """
    links: list[tuple[str, Any]] = []
    content.visititems_links(lambda *link: links.append(link))
    found = []
    for name, link in links:
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} is a link to another place")
        item = content[name]
        for key in ("layer_names", "weight_names"):
            names = list(item.attrs.get(key, ()))
            if len(set(names)) < len(names):
                raise ValueError(f"{name} has a name in {key} twice")
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual or item.dtype.hasobject:
                raise ValueError(f"{name} is not stored as numbers in the file")
            found.append(item)
    return found


def _check_stored(data: h5py.Dataset) -> None:
    """Raise ValueError if an array may expand to more than its size."""
    settings = data.id.get_create_plist()
    filters = [
        settings.get_filter(i)[0] for i in range(settings.get_nfilters())
    ]
    if not {GZIP, SHUFFLE, CHECKSUM}.issuperset(filters):
        raise ValueError(f"{data.name} is compressed by an unknown filter")
    if filters.count(GZIP) > 1:
        raise ValueError(f"{data.name} is compressed twice")
    chunks: list[Any] = []
    if GZIP in filters:
        data.id.chunk_iter(chunks.append)
    for chunk in chunks:
        limit = math.prod(data.chunks) * data.dtype.itemsize + 4  # a checksum
        _, content = data.id.read_direct_chunk(chunk.chunk_offset)
        expander = zlib.decompressobj()
        while content and limit >= 0:
            limit -= len(expander.decompress(content, 2**20))
            content = expander.unconsumed_tail
        if limit < 0:
            raise ValueError(f"{data.name} expands to more than its size")
