"""The classes of samples: their names, and the labels that files give them."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

from keras_inception_export.data.items import Labels, is_hidden
from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, check_regular
from keras_inception_export.logs import logger

LABEL_NAMES = ("label", "labels", "cls", "class", "target", "y")
"""What the label of an image is called in a table or in JSON, the first that
is there."""

PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}

NO_PART = re.compile(r"data(set)?|set|images?|imgs?|split|[^a-z]")
"""What may be added to their names, as in `train2017` and `test_set`."""


def read_labels(source: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Return the names of classes, in the order of an output's columns.

    Args:
        source: the names; or the path of a text file with one per line, or of
            a `.json` file with a list of them.

    Raises:
        RequestError: if they cannot be read, or one is empty.
    """
    labels: Any = source
    origin = "the labels"
    if isinstance(source, (str, Path)):
        origin, path = str(source), Path(source)
        check_regular(path)
        with reading(path, error=RequestError):
            text = path.read_text(encoding="utf-8-sig")
            is_json = path.suffix.lower() == ".json"
            labels = json.loads(text) if is_json else text.rstrip().split("\n")
    if not isinstance(labels, (list, tuple)) or not labels:
        raise RequestError(
            f"{origin} must be a list of names, one per class; got "
            f"{type(labels).__name__}"
        )
    for number, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip():
            raise RequestError(
                f"{origin} must be names; number {number + 1} of {len(labels)} "
                f"is {label!r}"
            )
    return tuple(label.strip() for label in labels)


def labelled_outputs(
    labels: Sequence[str], specs: Sequence[TensorSpec]
) -> list[str]:
    """Return the names of the outputs that have one column per label."""
    return [
        spec.name
        for spec in specs
        if len(spec.shape) > 1 and spec.shape[-1] == len(labels)
    ]


def check_labels(labels: Sequence[str], specs: Sequence[TensorSpec]) -> None:
    """Raise RequestError if no output has one column per label."""
    if not labelled_outputs(labels, specs):
        outputs = ", ".join(f'"{x.name}" {list(x.shape)}' for x in specs)
        raise RequestError(
            f"there are {len(labels)} labels, but the outputs are {outputs}; "
            "give one label per column"
        )


def label_in(value: Any) -> Any:
    """Return the label in a mapping, or the value itself; None if none."""
    if not isinstance(value, Mapping):
        return value
    return next((value[name] for name in LABEL_NAMES if name in value), None)


def folder_classes(path: Path, images: Iterable[Path]) -> Labels | None:
    """Return the labels of the images in a folder, if it has one per class.

    There are none if an image is outside of its folders, or if there is only
    one folder. A folder without an image is a class, too.

    Raises:
        RequestError: if the folders are parts of a data set, such as `train`.
    """
    names = sorted(
        folder.name
        for folder in path.iterdir()
        if folder.is_dir() and not is_hidden(folder.name)
    )
    places = [image.relative_to(path).parts for image in images]
    if len(names) < 2:
        return None
    parts = [name for name in names if NO_PART.sub("", name.lower()) in PARTS]
    if len(parts) > 1:
        raise RequestError(
            f"{path} has the folders {', '.join(parts)}, which are parts of a "
            "data set, not classes; give one of them"
        )
    outside = [place[0] for place in places if len(place) == 1]
    if outside:
        logger.info(
            "Classes  unknown, because %s is in none of their folders",
            path / outside[0],
        )
        return None
    return Labels([place[0] for place in places], names)


def numbered(
    labels: Labels, origin: str
) -> tuple[Sequence[Any] | None, tuple[str, ...] | None]:
    """Return labels as numbers, and the names of classes 0, 1, ....

    A class that has a name gets that number if all names are numbers,
    otherwise the index of its name in alphabetical order; this is logged.
    There are no names if there are gaps.

    Raises:
        RequestError: if only some have a label, or two names are the same.
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
    meanings: list[Any] = [normalize("NFKC", name).strip() for name in names]
    if all(name.isdecimal() and len(name) < 10 for name in names):
        numbers = meanings = [int(name) for name in names]
    for name, meaning in zip(names, meanings, strict=True):
        first = names[meanings.index(meaning)]
        if name != first:
            raise RequestError(
                f"{origin} has the classes {first!a} and {name!a}, which are "
                "the same; rename one, or join them"
            )
    classes = dict(zip(names, numbers, strict=True))
    shown = ", ".join(f"{name} {classes[name]}" for name in names[:10])
    more = f", and {len(names) - 10} more" if len(names) > 10 else ""
    logger.info("Classes  %s%s", shown, more)
    ordered = tuple(sorted(classes, key=classes.__getitem__))
    has_all = sorted(numbers) == list(range(len(names)))
    return [classes[x] for x in values], ordered if has_all else None
