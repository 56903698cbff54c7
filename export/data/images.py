"""Find image files, and read them as samples of a model; needs Pillow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_inception_export.data.preprocessing import (
    Preprocessing,
    channel_axis,
    read,
)
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError
from keras_inception_export.logs import logger

PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def is_image(path: Path) -> bool:
    """Return whether the suffix of a file is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def images_in(folder: Path) -> Iterator[Path]:
    """Yield the image files in a folder, at any depth, but hidden ones.

    They are in the order of their names; only one folder's names are in
    memory.
    """
    with os.scandir(folder) as entries:
        found = sorted(
            (entry.name, entry.is_dir(follow_symlinks=False))
            for entry in entries
            if not _hidden(entry.name)
        )
    for name, is_folder in found:
        path = folder / name
        if is_folder:
            yield from images_in(path)
        elif is_image(path) and not path.is_dir():
            yield path


def folder_classes(
    path: Path, images: Sequence[Path]
) -> tuple[np.ndarray, tuple[str, ...] | None] | None:
    """Return the class of each image, if there is one folder per class.

    Also return the names of classes 0, 1, ... unless there are gaps.

    The class is the folder's name if all names are numbers, otherwise the
    index of the name in alphabetical order, empty folders included. There are
    no classes if an image is outside of the folders, or there is only one
    folder. What was found is logged.

    Raises:
        RequestError: if the folders are parts of a data set, such as `train`.
    """
    folders = [image.relative_to(path).parts[:-1] for image in images]
    names = sorted(
        folder.name
        for folder in path.iterdir()
        if folder.is_dir() and not _hidden(folder.name)
    )
    if not all(folders) or len(names) < 2:
        return None
    if PARTS.issuperset(name.lower() for name in names):
        raise RequestError(
            f"{path} has the folders {', '.join(names)}, which are parts of a "
            "data set, not classes; give one of them"
        )
    numbers = list(range(len(names)))
    if all(name.isdecimal() and len(name) < 10 for name in names):
        numbers = [int(name) for name in names]
    classes = dict(zip(names, numbers, strict=True))
    shown = ", ".join(f"{name} {classes[name]}" for name in names[:10])
    more = f", and {len(names) - 10} more" if len(names) > 10 else ""
    logger.info("Classes  %s%s", shown, more)
    found = np.array([classes[folder[0]] for folder in folders], "int64")
    ordered = tuple(sorted(classes, key=classes.__getitem__))
    has_all = sorted(numbers) == list(range(len(names)))
    return found, ordered if has_all else None


def _hidden(name: str) -> bool:
    return name.startswith(".")


def read_image(
    path: Path, specs: Sequence[TensorSpec], preprocessing: Preprocessing
) -> np.ndarray:
    """Return one image as a sample of the only input."""
    if len(specs) != 1 or channel_axis(specs[0]) is None:
        names = ", ".join(f'"{spec.name}"' for spec in specs)
        raise RequestError(
            f"{path} is an image, but the model's inputs are {names} "
            f"of shape {[list(spec.shape) for spec in specs]}, expected one "
            "with 1 or 3 channels; give a .npz"
        )
    return read(path, preprocessing.fitted(specs[0]))
