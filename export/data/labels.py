"""Read the names of classes, and find the output that they belong to."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, check_regular


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
