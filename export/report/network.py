"""Lay out the structure of a network as boxes, branches and repeats."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

Step = Mapping[str, Any]

MINOR = {
    "BatchNormalization": "batch norm",
    "Activation": "",
    "ReLU": "relu",
    "Dropout": "dropout",
    "ZeroPadding2D": "padding",
}
"""Layers that are noted in the box of the layer before, and how. An activation
is noted by its name."""

KINDS = ("Conv", "Pool", "Dense", "Input")
"""Parts of the names of classes whose boxes have a color of their own."""

LONGEST_PATTERN = 6  # steps that are repeated


def layout(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """Return the items to draw, from the input to the output.

    An item is a box, which has `title`, `detail`, `shape`, `kind`, `name` and
    `branches` (lists of items), or a repeat, which has `times` and `items`.
    """
    return _collapsed(_boxes(steps))


def _boxes(steps: Sequence[Step]) -> list[dict[str, Any]]:
    boxes: list[dict[str, Any]] = []
    for step in steps:
        kind = step.get("type", "")
        branches = [layout(branch) for branch in step.get("branches", [])]
        last = boxes[-1] if boxes else None
        if kind in MINOR and last and last["name"] and not branches:
            note = MINOR[kind] or step.get("detail", "")
            last["detail"] = ", ".join(filter(None, (last["detail"], note)))
            last["shape"] = step.get("shape") or last["shape"]
            continue
        boxes.append(
            {
                "title": kind,
                "name": step.get("name", ""),
                "detail": step.get("detail", ""),
                "shape": step.get("shape", []),
                "kind": next((x.lower() for x in KINDS if x in kind), "other"),
                "branches": branches,
            }
        )
    return boxes


def _collapsed(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the items with each run of equal ones as one repeat."""
    marks = [_without_names(item) for item in items]
    found: list[dict[str, Any]] = []
    i = 0
    while i < len(items):
        # The most repeats; of those, the shortest pattern.
        times, end = max(
            (_repeats(marks[i:], size), -size)
            for size in range(1, LONGEST_PATTERN + 1)
        )
        repeated = items[i : i - end]
        i += times * len(repeated)
        if times > 1:
            repeated = [{"times": times, "items": repeated}]
        found += repeated
    return found


def _repeats(marks: Sequence[Any], size: int) -> int:
    """Return how often the first `size` marks follow each other."""
    chunks = (marks[i : i + size] for i in range(0, len(marks), size))
    return sum(1 for _ in takewhile(marks[:size].__eq__, chunks))


def _without_names(item: Any) -> Any:
    if isinstance(item, list):
        return [_without_names(x) for x in item]
    if not isinstance(item, dict):
        return item
    return {k: _without_names(x) for k, x in item.items() if k != "name"}
