"""`Coverage`: which channels of which layers the probes move.

What no probe moves is not verified. This module needs numpy only.
"""

from collections.abc import Mapping, Sequence
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

    @property
    def share(self) -> float:
        """The part of the channels that is moved."""
        return self.moved / self.channels


@dataclass(frozen=True)
class Coverage:
    """The coverage of all layers with weights, in the order of the model."""

    layers: tuple[LayerCoverage, ...]

    @property
    def channels(self) -> int:
        """The number of channels."""
        return sum(layer.channels for layer in self.layers)

    @property
    def moved(self) -> int:
        """The number of channels that a probe moves."""
        return sum(layer.moved for layer in self.layers)

    @property
    def dead(self) -> int:
        """The number of channels that no input can move."""
        return sum(layer.dead for layer in self.layers)

    @property
    def unmoved(self) -> tuple[LayerCoverage, ...]:
        """The layers with channels that no probe moves, the worst first."""
        layers = [x for x in self.layers if x.moved < x.channels]
        return tuple(sorted(layers, key=lambda layer: layer.share))

    def summary(self) -> str:
        """Return one line for the terminal."""
        if not self.layers:
            return "no layer has channels"
        text = (
            f"{self.moved:,} of {self.channels:,} channels"
            f" ({_percent(self.moved, self.channels)})"
            f" in {len(self.layers)} layers"
        )
        if self.dead:
            text += f"; {self.dead:,} have no weights"
        if self.unmoved:
            least = self.unmoved[0]
            share = _percent(least.moved, least.channels)
            text += f"; least: {least.layer} {share}"
        return text

    def as_json(self) -> dict[str, Any]:
        """Return the coverage as in `report.json`."""
        return {
            "channels": self.channels,
            "moved": self.moved,
            "dead": self.dead,
            "layers": [asdict(layer) for layer in self.layers],
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "Coverage":
        """Return the coverage from what `as_json` returned."""
        layers: Sequence[Mapping] = facts["layers"]
        return cls(tuple(LayerCoverage(**layer) for layer in layers))


def _percent(part: int, whole: int) -> str:
    """Return a percentage, rounded down: only all of it is 100 %."""
    return f"{int(1000 * part / whole) / 10:g} %"
