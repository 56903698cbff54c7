"""`Coverage`: which channels of which layers the probes move.

What no probe moves is not verified. This module needs numpy only.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class LayerCoverage:
    """The coverage of one layer.

    Args:
        layer: its path.
        channels: the number of channels of its output.
        moved: the number of those that a probe moves so that an output shows
            it.
        dead: the number of those whose weights are all zero, which no input
            can move.
    """

    layer: str
    channels: int
    moved: int
    dead: int = 0


@dataclass(frozen=True)
class Coverage:
    """The coverage of all layers with weights, in the order of the model."""

    layers: tuple[LayerCoverage, ...]

    @property
    def totals(self) -> dict[str, int]:
        """The numbers of channels, and of those that are moved or dead."""
        return {
            name: sum(getattr(layer, name) for layer in self.layers)
            for name in ("channels", "moved", "dead")
        }

    @property
    def unmoved(self) -> tuple[LayerCoverage, ...]:
        """The layers with channels that no probe moves, the worst first."""
        layers = [x for x in self.layers if x.moved < x.channels]
        return tuple(sorted(layers, key=lambda x: x.moved / x.channels))

    def summary(self) -> str:
        """Return one line for the terminal."""
        if not self.layers:
            return "no layer has channels"
        channels, moved, dead = self.totals.values()
        text = (
            f"{moved:,} of {channels:,} channels ({_percent(moved, channels)})"
            f" in {len(self.layers)} layers"
        )
        if dead:
            text += f"; {dead:,} have no weights"
        if self.unmoved:
            least = self.unmoved[0]
            share = _percent(least.moved, least.channels)
            text += f"; least: {least.layer} {share}"
        return text

    def as_json(self) -> dict[str, Any]:
        """Return the coverage as in `report.json`."""
        return {**self.totals, "layers": [asdict(x) for x in self.layers]}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "Coverage":
        """Return the coverage from what `as_json` returned."""
        return cls(tuple(LayerCoverage(**x) for x in facts["layers"]))


def _percent(part: int, whole: int) -> str:
    """Return a percentage, rounded down: only all of it is 100 %."""
    return f"{int(1000 * part / whole) / 10:g} %"
