"""How the output of a layer in an artifact compares with what it should be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_inception_export.diagnosis.layer_reference import (
    LayerReference,
    Place,
)
from keras_inception_export.verification.parity import tolerance

EIGHT_BITS = 50.0
"""Signal to noise of rounding to 8 bits at best, in dB."""

DRIFT = 2.0
"""How far a quantized layer may move from what was published, in units of its
error then. Other kernels, as another processor has them, moved the layers of
the hybrid by 1.4 at most."""


@dataclass(frozen=True)
class LayerResult:
    """How one layer's output in an artifact compares.

    Args:
        layer: the Keras path of the layer.
        merged: paths of the layers with weights whose outputs the artifact
            does not hold, since the runtime computes them with this one.
        error: the largest error, relative to the layer's largest value.
        snr: signal to noise of the median channel, in dB.
        allowed: the error, or of a quantized artifact the drift, that is
            allowed; None if it cannot be told.
        published: the error when the bundle was published; None if it never
            was.
        drift: how far a quantized artifact is from what was published,
            relative to the layer's largest value.
        moved: the part of the channels that are not as published.
        steps: the drift in steps of the layer's quantization; 0 if it is
            computed in float.
        fall: how far the signal to noise is below the lowest before, in dB.
        wrong: whether the layer diverges.
    """

    layer: str
    merged: tuple[str, ...]
    error: float
    snr: float
    allowed: float | None = None
    published: float | None = None
    drift: float = 0.0
    moved: float = 0.0
    steps: float = 0.0
    fall: float = 0.0
    wrong: bool = False

    @property
    def name(self) -> str:
        """What computes the output: `conv + relu` where that is one step."""
        return " + ".join([*self.merged, self.layer])

    def described(self) -> str:
        """Return the layer and how far it is off, for a sentence."""
        if self.drift and self.published is not None:
            limit = f"{self.published:.1e} when it was published"
        elif self.allowed is not None:
            limit = f"allowed is {self.allowed:.1e}"
        else:
            limit = f"signal to noise falls by {self.fall:.0f} dB"
        return f'"{self.name}" (off by {self.error:.1e}, {limit})'


def compared(
    mark: LayerReference,
    values: np.ndarray,
    published: Place | None,
    quantized: str | None,
) -> LayerResult:
    """Compare one layer's output.

    Args:
        mark: what it should be.
        values: what an artifact has.
        published: what that had when it was published; None if it never was.
        quantized: the artifact's scheme; None if it is not quantized.
    """
    result = LayerResult(
        mark.layer,
        (),
        mark.error(values),
        mark.snr(values),
        published=published.error if published else None,
    )
    rounding = tolerance(mark.keras_error)
    if not quantized:
        allowed = max(rounding, 2 * published.error if published else 0.0)
        wrong = not result.error <= allowed
        return replace(result, allowed=allowed, wrong=wrong)
    if published is None or published.values is None:
        return result
    before = replace(mark, values=published.values)
    moves = np.abs(values - before.values)
    singles, means = np.split(moves, [len(mark.positions)])
    drift = before.error(values)
    allowed = max(DRIFT * published.error, rounding)
    step = _step(before.values[: len(mark.positions)])
    return replace(
        result,
        allowed=allowed,
        drift=drift,
        moved=float(np.mean(~(means <= rounding * mark.scale))),
        steps=float(singles.max(initial=0.0)) / step,
        wrong=not drift <= allowed,
    )


def held_to_published(
    results: Sequence[LayerResult], altered: bool
) -> list[LayerResult]:
    """Mark where a quantized artifact begins to diverge.

    A runtime computes the same each time. So where all is as published up to
    a layer, the cause lies there, however little shows of it yet; and given
    the same integers, other kernels are a step off at most. Further on, or
    where all channels move from the first layer on, other kernels may be the
    reason, and only what is out of proportion tells.

    Args:
        results: one a layer.
        altered: whether the file is known not to be the one published.
    """
    start = next((i for i, r in enumerate(results) if r.moved), None)
    if start is None:
        return list(results)
    first = results[start]
    same_kernels = start > 0 or first.moved < 0.5
    suspect = altered or any(result.wrong for result in results)
    cause = first.steps > 1.5 or same_kernels and suspect
    return [
        *results[:start],
        replace(first, wrong=first.wrong or cause),
        *results[start + 1 :],
    ]


def with_falls(results: Sequence[LayerResult]) -> list[LayerResult]:
    """Say of each layer how far it is below all before it.

    A better layer after a worse one stands in another branch, and is no
    measure for what comes next.
    """
    lowest, marked = EIGHT_BITS, []
    for result in results:
        fall = lowest - result.snr if result.snr < lowest else 0.0
        marked.append(replace(result, fall=fall))
        lowest = min(lowest, result.snr)
    return marked


def marked_at_largest_fall(
    results: Sequence[LayerResult],
) -> list[LayerResult]:
    """Mark the layer at which the signal to noise falls the most."""
    worst = max((result.fall for result in results), default=0.0)
    start = next((i for i, r in enumerate(results) if r.fall == worst > 0), -1)
    return [replace(r, wrong=i == start) for i, r in enumerate(results)]


def _step(values: np.ndarray) -> float:
    """Return the step of quantized values; infinite if they are float."""
    steps = np.diff(np.unique(values))
    if not len(steps):
        return math.inf
    multiples = steps / steps.min()
    on_a_grid = np.abs(multiples - np.rint(multiples)).max() < 0.1
    return float(steps.min()) if on_a_grid else math.inf
