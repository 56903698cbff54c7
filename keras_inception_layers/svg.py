"""Lay out boxes and parallel branches, and write them as SVG."""

import re
from typing import Any, NamedTuple, TypeAlias, Union
from unicodedata import east_asian_width
from xml.etree.ElementTree import Element, SubElement, tostring

# Distances in pixels: between boxes, from a box to where its edge forks,
# between branches, around the picture.
GAP, FORK, LANE, MARGIN = 26, 14, 24, 8
CHARACTER = (7.4, 6.2)  # width in a box's first and second line, at most
STYLE = """
svg:root{color:#1f2328;background:#fff}
@media(prefers-color-scheme:dark){svg:root{color:#e6edf3;background:#0d1117}}
.inception-drawing{max-width:100%;height:auto;font:13px system-ui,sans-serif}
.inception-drawing text{fill:currentColor;text-anchor:middle}
.inception-drawing text+text{font-size:11px}
.inception-drawing path{fill:none;stroke:currentColor;stroke-linejoin:round}
.inception-drawing .edges{opacity:.6}
.inception-drawing .conv{--c:var(--inception-conv,#3b82f6)}
.inception-drawing .pool{--c:var(--inception-pool,#e8590c)}
.inception-drawing .join{--c:var(--inception-join,#7c8794)}
.inception-drawing .other{--c:var(--inception-other,#2f9e44)}
.inception-drawing rect{fill:var(--c);fill-opacity:.16;stroke:var(--c)}
"""
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Drawing(str):
    """The text of an SVG picture, which a notebook shows as the picture."""

    def _repr_svg_(self) -> str:
        return str(self)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("<SVG picture>")


class Box(NamedTuple):
    """A box of a kind, which sets its color, with one or two lines of text.

    With a tooltip it is a layer, and as high as any other layer.
    """

    kind: str
    lines: list[str]
    tooltip: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        widths = [
            20 + wide * sum(1 + (east_asian_width(x) in "WF") for x in line)
            for wide, line in zip(CHARACTER, self.lines, strict=False)
        ]
        return max(92, *widths, 0), 44 if self.tooltip else 28


class Fork(NamedTuple):
    """Parallel branches, each a list of parts, and the box that joins them."""

    rows: list[list["Part"]]
    join: Box

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, with the gap before the join."""
        sizes = [measure(row) for row in self.rows]
        width = sum(x[0] for x in sizes) + LANE * (len(sizes) - 1)
        height = FORK + max(x[1] for x in sizes) + GAP + self.join.size[1]
        return max(width, self.join.size[0]), height


Part: TypeAlias = Union[Box, Fork]  # noqa: UP007
Edge: TypeAlias = tuple[int, list[tuple[float, float]]]  # from a box; corners


def measure(parts: list[Part]) -> tuple[float, float]:
    """Return width and height, with a gap before each box."""
    width = max((part.size[0] for part in parts), default=LANE)
    gaps = GAP * sum(isinstance(part, Box) for part in parts)
    return width, sum(part.size[1] for part in parts) + gaps


def describe(parts: list[Part]) -> str:
    """Return in words what a picture shows."""
    texts = []
    for part in parts:
        if isinstance(part, Fork):
            rows = "; ".join(describe(row) or "unchanged" for row in part.rows)
            texts.append(f"{len(part.rows)} branches ({rows})")
        box = part.join if isinstance(part, Fork) else part
        texts.append(", ".join(filter(None, box.lines)))
    return ", then ".join(texts)


def render(title: str, parts: list[Part]) -> str:
    """Return the picture of a chain of parts, the first at the bottom.

    Its boxes are numbered from the bottom in `data-box`; an edge has the
    numbers of the boxes that it connects, `data-from` and `data-to`.
    """
    picture = Picture(title, parts)
    return NOT_XML.sub("\ufffd", tostring(picture.svg, encoding="unicode"))


class Picture:
    """An SVG document. Heights are measured from its lower edge."""

    def __init__(self, title: str, parts: list[Part]) -> None:
        width, height = (2 * MARGIN + x for x in measure(parts))
        self.height = height - GAP
        self.count = 0
        self.svg = Element(
            "svg",
            {"class": "inception-drawing", "role": "img"},
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width:g} {self.height:g}",
            width=f"{width:g}",
            height=f"{self.height:g}",
        )
        SubElement(self.svg, "title").text = title
        about = f"From the bottom to the top: {describe(parts)}."
        SubElement(self.svg, "desc").text = about
        SubElement(self.svg, "style").text = STYLE
        self.edges = SubElement(self.svg, "g", {"class": "edges"})
        self.place(parts, width / 2, MARGIN - GAP, [])

    def place(self, parts, x, y, edges) -> list[Edge]:
        """Draw parts around `x` from `y` on; return the edge they leave."""
        for part in parts:
            if isinstance(part, Fork):
                edges = self.place_fork(part, x, y, edges)
            else:
                edges = self.place_box(part, x, y + GAP, part.size[0], edges)
            y = edges[0][1][0][1]
        return edges

    def place_fork(self, fork, x, y, edges) -> list[Edge]:
        """Draw branches, which all end at the same height, and their join."""
        sizes = [measure(row) for row in fork.rows]
        top = y + FORK + max(height for _, height in sizes)
        left = x - (sum(w for w, _ in sizes) + LANE * (len(sizes) - 1)) / 2
        ends = []
        for row, (width, height) in zip(fork.rows, sizes, strict=True):
            to = left + width / 2
            starts = [
                (number, [*corners, (x, y + FORK), (to, y + FORK)])
                for number, corners in edges
            ]
            ends += self.place(row, to, top - height, starts)
            left += width + LANE
        return self.place_box(fork.join, x, top + GAP, fork.size[0], ends)

    def place_box(self, box, x, y, width, edges) -> list[Edge]:
        """Draw a box around `x` from `y` on, and the edges that end there."""
        number, self.count = self.count, self.count + 1
        for start, corners in edges:
            points = [*corners, (corners[-1][0], y)]
            path = "L".join(f"{a:g} {self.height - b:g}" for a, b in points)
            data = {"data-from": str(start), "data-to": str(number)}
            SubElement(self.edges, "path", data, d=f"M{path}m-4 6l4-6l4 6")
        data = {"class": box.kind, "data-box": str(number)}
        group = SubElement(self.svg, "g", data)
        if box.tooltip:
            SubElement(group, "title").text = box.tooltip
        height = box.size[1]
        places = {"x": x - width / 2, "y": self.height - y - height}
        sizes = {"width": width, "height": height, "rx": 6}
        _sub(group, "rect", **places, **sizes)
        lines = [line for line in box.lines if line]
        middle = self.height - y - height / 2 + 4.5
        for n, line in enumerate(lines):
            place = middle + 16 * n - 8 * (len(lines) - 1)
            _sub(group, "text", x=x, y=place).text = line
        return [(number, [(x, y + height)])]


def _sub(parent: Element, tag: str, **numbers: float) -> Element:
    return SubElement(
        parent, tag, {name: f"{value:g}" for name, value in numbers.items()}
    )
