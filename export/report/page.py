"""Fill the templates: one file per section, and the page around them."""

import math
import re
from pathlib import Path
from typing import Any

from keras_inception_export.logs import printable, size
from keras_inception_export.report.facts import Facts
from keras_inception_export.report.sections import SECTIONS

START = "<!doctype html>\n<!-- keras-inception report -->"
"""How every report begins, by which it is recognised."""

TEMPLATES = Path(__file__).parent / "templates"


def render(facts: Facts) -> str:
    """Return the page.

    Every text is escaped, and control characters are shown as such: names
    come from models and files.
    """
    import jinja2
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        if isinstance(value, str) and not isinstance(value, Markup):
            return printable(value)
        return value

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

    environment.filters |= {
        "words": words,
        "error": error,
        "percent": percent,
        "size": size,
        "shape": shape,
    }
    sections = []
    for section in SECTIONS:
        found = section.collect(facts)
        body = ""
        if not isinstance(found, str):
            template = environment.get_template(f"{section.name}.html")
            body = template.render(found)
        sections.append(
            {
                "name": section.name,
                "title": section.title,
                "body": Markup(body),  # noqa: S704
                "missing": found if isinstance(found, str) else "",
            }
        )
    page = environment.get_template("page.html").render(
        name=facts.report["model"]["name"],
        sections=sections,
        style=Markup((TEMPLATES / "style.css").read_text("utf-8")),  # noqa: S704
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
