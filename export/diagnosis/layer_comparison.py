"""Compare the output of a layer in an artifact with its expected values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_inception_export.diagnosis.layer_reference import (
    LayerReference,
    TensorLocation,
)
from keras_inception_export.verification.parity import tolerance

EIGHT_BIT_SNR = 50.0
"""The best signal-to-noise ratio that rounding to 8 bits allows, in dB."""

MAX_CHANGE = 2.0
"""How far a quantized layer may be from its published values, in units of its
error when it was published. Other kernels, as another processor has them,
changed the layers of the hybrid by up to 1.4."""


@dataclass(frozen=True)
class LayerResult:
    """The comparison of one layer's output in an artifact.

    Args:
        layer: the Keras path of the layer.
        merged: the paths of the layers directly before whose outputs the
            artifact does not hold: as a rule, since the runtime computes them
            in one step with this one.
        error: the largest error, relative to the layer's largest value.
        snr: the signal-to-noise ratio of the median channel, in dB.
        allowed: the largest allowed error or, if the artifact is quantized,
            `change`. None if it is unknown.
        published: the error at publication; None if it was not published.
        change: the largest difference of a quantized artifact from its
            published values, relative to the layer's largest value.
        changed_channels: the fraction of the channels not as published; 0 if
            the layer has another scale, and is otherwise as published.
        steps: the change in quantization steps, those of the coarser scale if
            it has another one; 0 for a float layer.
        snr_drop: how far the signal-to-noise ratio is below the lowest of the
            layers before, in dB.
        diverges: whether the layer differs by more than is allowed.
    """

    layer: str
    merged: tuple[str, ...]
    error: float
    snr: float
    allowed: float | None = None
    published: float | None = None
    change: float = 0.0
    changed_channels: float = 0.0
    steps: float = 0.0
    snr_drop: float = 0.0
    diverges: bool = False

    @property
    def name(self) -> str:
        """The layers that are one step: `conv + relu`, or `conv`."""
        return " + ".join([*self.merged, self.layer])

    def described(self) -> str:
        """Return the layer and its error, as part of a sentence."""
        if self.change and self.published is not None:
            limit = f"{self.published:.1e} when it was published"
        elif self.allowed is not None:
            limit = f"allowed is {self.allowed:.1e}"
        else:
            limit = f"signal-to-noise ratio drops by {self.snr_drop:.0f} dB"
        return f'"{self.name}" (differs by {self.error:.1e}, {limit})'


def compare_layer(
    reference: LayerReference,
    values: np.ndarray,
    published: TensorLocation | None,
    quantization: str | None,
) -> LayerResult:
    """Compare one layer's output."""
    error, snr = reference.error(values), reference.snr(values)
    before = published.error if published else None
    result = LayerResult(reference.layer, (), error, snr, published=before)
    rounding = tolerance(reference.keras_error)
    if not quantization:
        allowed = max(rounding, 2 * (before or 0.0))
        return replace(result, allowed=allowed, diverges=not error <= allowed)
    if published is None or published.values is None:
        return result
    number = len(reference.positions)
    sampled, means = np.split(np.abs(values - published.values), [number])
    changed = ~(means <= rounding * reference.scale)
    before, now = _step(published.values[:number]), _step(values[:number])
    step = max(before, now) if math.isfinite(now) else before
    steps = float(sampled.max(initial=0.0)) / step
    # A layer shares its scale with others, as all that are concatenated do,
    # one of which may be the cause.
    rescaled = _differ(before, now) and steps <= 1
    change = replace(reference, values=published.values).error(values)
    allowed = max(MAX_CHANGE * published.error, rounding)
    return replace(
        result,
        allowed=allowed,
        change=change,
        changed_channels=0.0 if rescaled else float(np.mean(changed)),
        steps=steps,
        diverges=not change <= allowed,
    )


def flag_first_change(
    results: Sequence[LayerResult], altered: bool
) -> list[LayerResult]:
    """Flag the layer at which a quantized artifact starts to diverge.

    A runtime computes the same values each time. So if all layers before one
    are as published, that layer is the cause, however small its change; and
    given the same integers, other kernels differ by at most one step. After
    that layer, or where most channels change from the first layer on, other
    kernels may be the reason, and only a change of more than `MAX_CHANGE`
    counts.
    """
    flagged = list(results)
    start = next((i for i, r in enumerate(results) if r.changed_channels), None)
    if start is not None:
        first = results[start]
        same_kernels = start > 0 or first.changed_channels < 0.5
        suspect = altered or any(result.diverges for result in results)
        if first.steps > 1.5 or (same_kernels and suspect):
            flagged[start] = replace(first, diverges=True)
    return flagged


def with_snr_drops(results: Sequence[LayerResult]) -> list[LayerResult]:
    """Return the results with the `snr_drop` of each layer.

    A layer that is better than one before it is in another branch, and does
    not count for the layers after it.
    """
    lowest, compared = EIGHT_BIT_SNR, []
    for result in results:
        drop = lowest - result.snr if result.snr < lowest else 0.0
        compared.append(replace(result, snr_drop=drop))
        lowest = min(lowest, result.snr)
    return compared


def flag_largest_snr_drop(results: Sequence[LayerResult]) -> list[LayerResult]:
    """Flag the layer at which the signal-to-noise ratio drops the most."""
    worst = max(results, key=lambda result: result.snr_drop, default=None)
    return [replace(r, diverges=r is worst and r.snr_drop > 0) for r in results]


def _differ(step: float, other: float) -> bool:
    """Return whether two steps are of different scales.

    The least difference of a few values is sometimes a multiple of the step.
    """
    small, large = sorted((step, other))
    multiple = large / small
    return math.isfinite(large) and abs(multiple - round(multiple)) > 1e-4


def _step(values: np.ndarray) -> float:
    """Return the step of quantized values; infinity if they are float."""
    steps = np.diff(np.unique(values))
    if not len(steps):
        return math.inf
    multiples = steps / steps.min()
    is_grid = np.abs(multiples - np.rint(multiples)).max() < 0.1
    return float(steps.min()) if is_grid else math.inf
