"""The report's plots: matplotlib's SVG, in the colors of the page.

A plot is drawn in placeholder colors, each of which becomes a CSS variable, so
that it follows the page into dark mode and print. Text stays text.
"""

import re
import warnings
import zlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

import numpy as np

from keras_inception_export.logs import printable

WIDTH = 4.2  # inches; at 96 pixels per inch about the width of a phone
COLORS = {
    "text": "#010101",
    "muted": "#020202",
    "line": "#030303",
    "good": "#040404",
    "bad": "#050505",
    "limit": "#060606",
    "heat": "#070707",
    **{f"series-{i}": f"#0a0a{i:02d}" for i in range(8)},
}
"""Each placeholder by the name of its CSS variable."""

MARKERS = "os^Dv<>P"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
    "axes.unicode_minus": False,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLORS["line"],
    "axes.labelcolor": COLORS["muted"],
    "text.color": COLORS["text"],
    "xtick.color": COLORS["line"],
    "xtick.labelcolor": COLORS["muted"],
    "ytick.color": COLORS["line"],
    "ytick.labelcolor": COLORS["text"],
    "grid.color": COLORS["line"],
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
}
SVG = "http://www.w3.org/2000/svg"
LINK = "{http://www.w3.org/1999/xlink}href"
NAME_LENGTH = 22  # characters of a name beside an axis

Row = tuple[str, float]
"""A name and a number."""


def short(name: str, length: int = NAME_LENGTH) -> str:
    """Return a name for an axis: the end of a long one says most."""
    name = printable(name)
    return name if len(name) <= length else f"…{name[1 - length :]}"


def dots(rows: Sequence[tuple[str, float, float, bool]]) -> str:
    """Draw errors on a logarithmic axis, each beside its tolerance.

    A row has a name, the error, the tolerance, and whether the error is
    allowed. Infinity is drawn at the right end.
    """
    finite = [x for _, *pair, _ in rows for x in pair if 0 < x < np.inf]
    low, high = min(finite, default=1e-9) / 4, max(finite, default=1) * 4

    def draw(axes):
        for y, (_, error, limit, passed) in enumerate(rows):
            at = float(np.clip(error, low, high))
            edge = float(np.clip(limit, low, high))
            color = COLORS["good" if passed else "bad"]
            axes.plot([low, edge], [y, y], color=COLORS["line"], lw=4)
            axes.plot([edge, edge], [y - 0.3, y + 0.3], color=COLORS["limit"])
            axes.plot([at], [y], "o" if passed else "X", color=color, ms=6)
        axes.set_xscale("log")
        axes.set_xlim(low, high)
        _names(axes, [name for name, *_ in rows])
        axes.set_xlabel("largest error, relative to the output's range")

    return _svg(draw, 0.9 + 0.24 * len(rows))


def bars(rows: Sequence[Row], label: str, texts: Sequence[str]) -> str:
    """Draw one horizontal bar per row, with its number at its end."""
    largest = max((value for _, value in rows), default=0) or 1

    def draw(axes):
        axes.barh(
            range(len(rows)),
            [value for _, value in rows],
            height=0.6,
            color=COLORS["series-0"],
        )
        for y, ((_, value), text) in enumerate(zip(rows, texts, strict=True)):
            axes.text(value + largest / 60, y, text, va="center")
        axes.set_xlim(0, 1.3 * largest)
        _names(axes, [name for name, _ in rows])
        axes.set_xlabel(label)

    return _svg(draw, 0.8 + 0.26 * len(rows))


def lines(series: Sequence[tuple[str, Sequence[float]]], label: str) -> str:
    """Draw one line per series along the layers, on a logarithmic axis.

    Values that are unknown (NaN) are left out; zero is drawn at the bottom.
    """
    known = [x for _, values in series for x in values if 0 < x < np.inf]
    low, high = min(known, default=1e-9) / 2, max(known, default=1.0) * 2

    def draw(axes):
        for number, (name, values) in enumerate(series):
            y = np.clip(np.asarray(values, "float64"), low, high)
            x = np.flatnonzero(~np.isnan(y))
            axes.plot(
                x + 1,
                y[x],
                color=COLORS[f"series-{number % 8}"],
                marker=MARKERS[number % len(MARKERS)],
                ms=3.5,
                lw=1,
                label=short(name, 30),
            )
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        axes.grid(axis="y")
        axes.set_xlabel("layer, from the input to the output")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(
            loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0
        )

    return _svg(draw, 2.6 + 0.16 * ((len(series) + 1) // 2))


def matrix(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Draw a confusion matrix; the darker, the larger the part of its row."""
    values = np.asarray(counts)
    parts = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    number = len(values)

    def draw(axes):
        from matplotlib.patches import Rectangle

        for i, j in zip(*np.nonzero(values), strict=True):
            color = COLORS["heat" if i == j else "bad"]
            opacity = 0.12 + 0.5 * parts[i, j]
            axes.add_patch(
                Rectangle((j - 0.5, i - 0.5), 1, 1, fc=color, alpha=opacity)
            )
            if number <= 20:
                axes.text(
                    *(j, i, str(values[i, j])),
                    ha="center",
                    va="center",
                    fontsize=8 if number <= 12 else 5,
                )
        axes.set_xlim(-0.5, number - 0.5)
        axes.set_ylim(number - 0.5, -0.5)
        axes.set_aspect("equal")
        if number <= 30:
            names = [short(x, 10) for x in labels]
            axes.set_xticks(range(number), names, rotation=90, fontsize=8)
            axes.set_yticks(range(number), names, fontsize=8)
        axes.tick_params(length=0)
        axes.set_xlabel("predicted")
        axes.set_ylabel("label")

    return _svg(draw, WIDTH)


def _names(axes, names: Sequence[str]) -> None:
    """Name the rows of a plot, the first at the top."""
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _svg(draw: Callable[[Any], None], height: float) -> str:
    """Return what `draw` draws, as an SVG element of a page."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    content = BytesIO()
    with rc_context(STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a font without a name's characters
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter(lambda x, _: f"{x:.0e}")
                axis.set_minor_formatter("")
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        FigureCanvasSVG(figure).print_svg(content, metadata=nothing)
    return _themed(content.getvalue())


def _themed(content: bytes) -> str:
    """Return an SVG in the page's colors, whose ids no other one has."""
    ElementTree.register_namespace("", SVG)
    root = ElementTree.fromstring(content)
    for defs in root.findall(f"{{{SVG}}}defs"):
        root.remove(defs)  # a style of the whole page
    prefix = f"f{zlib.crc32(content):x}-"
    variables = {color: f"var(--{name})" for name, color in COLORS.items()}

    def colored(found: re.Match) -> str:
        return variables.get(found.group(), found.group())

    for item in root.iter():
        for key, value in item.items():
            if key == "id":
                value = prefix + value
            elif key == LINK:
                del item.attrib[key]
                key, value = "href", f"#{prefix}{value[1:]}"
            value = value.replace("url(#", f"url(#{prefix}")
            value = re.sub(r"font-family: [^;]*;?", "", value)
            item.set(key, re.sub("#[0-9a-f]{6}", colored, value))
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("aria-hidden", "true")
    return ElementTree.tostring(root, encoding="unicode")
