"""Sections of docstrings in the style of Keras, as Markdown."""

import re
from textwrap import dedent

import griffe

TITLE = re.compile(
    r"^(Call arguments|Input shape|Output shape|Example|Reference"
    r"|Args|Attributes|Returns|Raises|Yields):\n",
    re.MULTILINE,
)
ENTRY = re.compile(r"^([*\w]+): ", re.MULTILINE)


class KerasSections(griffe.Extension):
    """Give every section a title, and an example its colors."""

    def on_object(self, *, obj, **kwargs):
        """Rewrite the docstring of a module, class or function."""
        if obj.docstring:
            value = TITLE.split(obj.docstring.value)
            parts = [value[0]]
            for title, text in zip(value[1::2], value[2::2], strict=True):
                parts.append(section(title, text))
            obj.docstring.value = "".join(parts)


def section(title, text):
    """Return a section as Markdown."""
    text = dedent(text).strip()
    if title == "Example":
        language = "pycon" if text.startswith(">>>") else "python"
        text = f"```{language}\n{text}\n```"
    elif title in ("Args", "Attributes", "Call arguments", "Raises"):
        text = ENTRY.sub(r"- `\1`: ", text)
        title = title.replace("Args", "Arguments")
    return f"**{title}**\n\n{text}\n\n"
