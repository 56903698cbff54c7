"""What is read from files: one `Item` per image or per row of an array."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.errors import ExportError

OF_SYSTEMS = {"__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found"}
"""Folders that systems put beside those of a user."""

MAX_BYTES = 2**28
"""The largest image file in an archive. A sparse file of a few bytes may claim
any size."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is not one of a user."""
    return name.startswith(".") or name in OF_SYSTEMS


@dataclass(frozen=True, slots=True)
class Item:
    """One image, or one row of arrays.

    Args:
        name: what it is called in the results: one line of text.
        content: the array of each input, without an axis for the batch; or
            an image, as a path, as the bytes of a file, or as Pillow opened
            it; or the error that prevents a result.
    """

    name: str
    content: Mapping[str, np.ndarray] | Path | bytes | ExportError | Any


@dataclass(frozen=True)
class Labels:
    """The labels of the items of one input.

    Args:
        values: one per item: a number, a row of scores, or a name; `None`: an
            item has none.
        names: the names of all classes, or of classes 0, 1, ... if the labels
            are numbers. Defaults to `()`: unknown.
    """

    values: Sequence[Any]
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Opened:
    """The items of one input, which has been checked.

    Args:
        items: reads them, each time from the beginning.
        count: returns their number; `None` if it is not known beforehand.
        labels: reads their labels; `None` if they have none.
        arrays: the array of each input; `None`: the items are images.
    """

    items: Callable[[], Iterator[Item]]
    count: Callable[[], int | None] = lambda: None
    labels: Callable[[], Labels | None] = lambda: None
    arrays: Mapping[str, Any] | None = None

    @property
    def images(self) -> bool:
        """Whether the items are images."""
        return self.arrays is None
