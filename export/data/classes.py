"""The classes of samples, from the names or numbers that files give them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_inception_export.data.items import Labels
from keras_inception_export.errors import RequestError
from keras_inception_export.logs import logger

LABEL_NAMES = ("label", "labels", "cls", "class", "target", "y")
"""What the label of an image is called in a table or in JSON, the first that
is there."""

PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}


def label_in(value: Any) -> Any:
    """Return the label in a mapping, or the value itself; None if none."""
    if not isinstance(value, Mapping):
        return value
    return next((value[name] for name in LABEL_NAMES if name in value), None)


def folder_classes(path: Path, folders: Sequence[str]) -> Labels | None:
    """Return the labels of images, if there is one folder per class.

    There are none if an image is outside of the folders, or there is only one
    folder.

    Args:
        path: the folder of these folders; an empty one is a class, too.
        folders: the folder of each image; `""` if it is outside of them.

    Raises:
        RequestError: if the folders are parts of a data set, such as `train`.
    """
    names = sorted(
        folder.name
        for folder in path.iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    )
    if not all(folders) or len(names) < 2:
        return None
    if PARTS.issuperset(name.lower() for name in names):
        raise RequestError(
            f"{path} has the folders {', '.join(names)}, which are parts of a "
            "data set, not classes; give one of them"
        )
    return Labels(folders, names)


def numbered(
    labels: Labels, origin: str
) -> tuple[Sequence[Any] | None, tuple[str, ...] | None]:
    """Return labels as numbers, and the names of classes 0, 1, ....

    A class that has a name gets that number if all names are numbers,
    otherwise the index of its name in alphabetical order; this is logged.
    There are no names if there are gaps.

    Raises:
        RequestError: if only some have a label.
    """
    values = labels.values
    named = [isinstance(value, str) for value in values]
    lacking = sum(value is None for value in values)
    if lacking == len(values):
        return None, None
    if lacking:
        raise RequestError(
            f"{origin}: {lacking} of {len(values)} samples have no label; "
            "expected a label for each of them, or for none"
        )
    if not any(named):
        return values, tuple(dict.fromkeys(labels.names)) or None
    if not all(named):
        raise RequestError(
            f"{origin} has names and numbers as labels; give one of them"
        )
    names = sorted({*labels.names, *values})
    numbers = list(range(len(names)))
    if all(name.isdecimal() and len(name) < 10 for name in names):
        numbers = [int(name) for name in names]
    classes = dict(zip(names, numbers, strict=True))
    shown = ", ".join(f"{name} {classes[name]}" for name in names[:10])
    more = f", and {len(names) - 10} more" if len(names) > 10 else ""
    logger.info("Classes  %s%s", shown, more)
    ordered = tuple(sorted(classes, key=classes.__getitem__))
    has_all = sorted(numbers) == list(range(len(names)))
    return [classes[x] for x in values], ordered if has_all else None
