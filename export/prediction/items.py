"""What is predicted: one `Item` per image or per row of an array."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_inception_export.errors import ExportError

MAX_BYTES = 2**28
"""The largest image file in an archive. A sparse file of a few bytes may claim
any size."""


@dataclass(frozen=True)
class Item:
    """One thing to predict.

    Args:
        name: what it is called in the results: one line of text.
        content: the array of each input, without an axis for the batch; or
            an image, as a path, as the bytes of a file, or as Pillow opened
            it; or the error that prevents a result.
    """

    name: str
    content: Mapping[str, np.ndarray] | Path | bytes | ExportError | Any


@dataclass(frozen=True)
class Opened:
    """The items of one input, which has been checked.

    Args:
        items: reads them, each time from the beginning.
        images: whether they are images.
        count: returns their number; `None` if it is not known beforehand.
    """

    items: Callable[[], Iterator[Item]]
    images: bool
    count: Callable[[], int | None] = lambda: None
