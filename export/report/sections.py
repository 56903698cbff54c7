"""The sections of a report, in their order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_inception_export.report import numbers, overview
from keras_inception_export.report.facts import Facts


@dataclass(frozen=True)
class Section:
    """A section.

    Args:
        name: its anchor, and the name of its template, without `.html`.
        title: its heading.
        collect: returns what the template shows, or a sentence on what the
            bundle lacks.
    """

    name: str
    title: str
    collect: Callable[[Facts], dict[str, Any] | str]


SECTIONS = (
    Section("verdict", "Verdict", overview.verdict),
    Section("origin", "What was exported", overview.origin),
    Section("network", "The network", overview.structure),
    Section("verification", "Verification", numbers.verification),
    Section("layers", "Error along the network", numbers.layers),
    Section("cost", "Size and latency", numbers.cost),
    Section("classes", "Right and wrong classes", numbers.classes),
    Section("gallery", "Where artifacts disagree", numbers.gallery),
    Section("use", "How to load an artifact", overview.use),
)
