"""Complete docstrings from those of the base classes.

The layers share most of their arguments and shapes, and the networks most of
their arguments. Each shared text is written once, in a base class or a
constant, and `help()` shows it wherever it applies.
"""

import inspect
import json
import re
from functools import cache
from textwrap import fill

SECTIONS = (
    "Args",
    "Call arguments",
    "Input shape",
    "Output shape",
    "Returns",
    "Raises",
    "Example",
    "Reference",
)
SUMMARY = ""
# Sections that are never taken from another docstring.
OWN = ("Example", "Reference")
HARD_SPACE = "\N{NO-BREAK SPACE}"
_HEADER = re.compile(rf"^({'|'.join(SECTIONS)}):\n", re.MULTILINE)
_ENTRY = re.compile(r"^    (\S+): ", re.MULTILINE)


def complete(documented, *others):
    """Complete the docstring of a class or function, in place.

    Sections that it lacks are taken from the first of `others` that has
    them, and so is each argument of its signature that its own section of
    arguments lacks. An argument whose text names no default gets that of the
    signature.

    Args:
        documented: a class or function; if it has no docstring, it is left
            unchanged.
        *others: docstrings, the nearest first.

    Returns:
        `documented`.
    """
    if not documented.__doc__:
        return documented
    own = _split(documented.__doc__)
    texts = [*(_split(other) for other in reversed(others) if other), own]
    sections = {}
    for text in texts:
        sections.update(text)
    for name in OWN:
        sections[name] = own.get(name)
    # The `__new__` of Keras's layers hides the arguments of `__init__`.
    is_class = inspect.isclass(documented)
    sections["Args"] = _arguments(
        inspect.signature(documented.__init__ if is_class else documented),
        [text["Args"] for text in texts if "Args" in text],
    )
    parts = [own[SUMMARY]]
    for name in SECTIONS:
        if sections.get(name):
            parts.append(f"{name}:\n{sections[name]}")
    documented.__doc__ = "\n\n".join(parts) + "\n"
    return documented


@cache
def _split(docstring):
    """Return the sections of a docstring by their names."""
    parts = _HEADER.split(inspect.cleandoc(docstring))
    names, bodies = (SUMMARY, *parts[1::2]), parts[::2]
    return {x: body.rstrip() for x, body in zip(names, bodies, strict=True)}


def _arguments(signature, texts):
    """Return the entry of each argument, in the order of the signature."""
    entries: dict[str, str] = {}
    for text in texts:
        _, *parts = _ENTRY.split(text)
        entries.update(zip(parts[::2], parts[1::2], strict=True))
    lines = []
    for parameter in signature.parameters.values():
        name = str(parameter).partition("=")[0]
        if name in entries:
            lines.append(
                _with_default(
                    f"    {name}: {entries[name].rstrip()}", parameter.default
                )
            )
    return "\n".join(lines)


def _with_default(entry, default):
    """Return the entry with the default behind it, if it names none."""
    words = " ".join(entry.split())
    if default is inspect.Parameter.empty or "Defaults to" in words:
        return entry
    text = json.dumps(default) if isinstance(default, str) else repr(default)
    text = text.replace(" ", HARD_SPACE)
    return fill(
        f"{words} Defaults to `{text}`.",
        72,
        initial_indent=" " * 4,
        subsequent_indent=" " * 8,
        break_long_words=False,
        break_on_hyphens=False,
    ).replace(HARD_SPACE, " ")
