"""The sections of a report, and the page that their templates make."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from keras_inception_export.logs import printable, size
from keras_inception_export.report import numbers, overview
from keras_inception_export.report.facts import Facts

START = "<!doctype html>\n<!-- keras-inception report -->"
"""How every report begins, by which it is recognised."""

TEMPLATES = Path(__file__).parent / "templates"


class Section(NamedTuple):
    """A section of the page.

    `name` is its anchor and that of its template, `title` its heading, and
    `collect` returns what the template shows beside the bundle's report, or a
    sentence on what the bundle lacks.
    """

    name: str
    title: str
    collect: Callable[[Facts], dict[str, Any] | str]


SECTIONS = (
    Section("verdict", "Verdict", overview.verdict),
    Section("origin", "What was exported", lambda facts: {}),
    Section("network", "The network", overview.structure),
    Section("verification", "Verification", numbers.verification),
    Section("layers", "Error along the network", numbers.layers),
    Section("cost", "Size and latency", numbers.cost),
    Section("classes", "Right and wrong classes", numbers.classes),
    Section("gallery", "Where artifacts disagree", numbers.gallery),
    Section("use", "How to load an artifact", overview.use),
)


def render(facts: Facts) -> str:
    """Return the page.

    Every text is escaped, and control characters are shown as such: names
    come from models and files.
    """
    import jinja2
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        is_text = isinstance(value, str) and not isinstance(value, Markup)
        return printable(value) if is_text else value

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )

    def words(name: str) -> Markup:
        """Let a class's name break between its words."""
        parts = re.split(r"(?<=[a-z])(?=[A-Z0-9])", printable(name))
        return Markup("<wbr>").join(parts)

    for made in (words, error, percent, size, shape):
        environment.filters[made.__name__] = made
    sections = []
    for section in SECTIONS:
        found, body = section.collect(facts), ""
        if not isinstance(found, str):
            template = environment.get_template(f"{section.name}.html")
            body = template.render({**facts.report, **found, "facts": facts})
        sections.append((section, body, found))
    style = (TEMPLATES / "style.css").read_text("utf-8")
    page = environment.get_template("page.html").render(
        name=facts.report["model"]["name"], sections=sections, style=style
    )
    return f"{START}\n{page}\n"


def error(value: float | None) -> str:
    """Return an error in two digits; None stands for infinity."""
    if value is None or math.isinf(value):
        return "∞"
    return "–" if math.isnan(value) else f"{value:.1e}" if value else "0"


def percent(value: float | None) -> str:
    """Return a fraction as a percentage, rounded down: only all is 100 %."""
    if value is None:
        return "–"
    return f"{math.floor(value * 10000 + 1e-6) / 100:g} %"


def shape(sizes: Any) -> str:
    """Return a shape, as `any × 32 × 32 × 1`."""
    return " × ".join("any" if n is None else str(n) for n in sizes)
