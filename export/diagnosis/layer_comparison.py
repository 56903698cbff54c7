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
        merged: the paths of the layers with weights that the runtime computes
            in one step with this one, so that the artifact does not hold
            their outputs.
        error: the largest error, relative to the layer's largest value.
        snr: the signal-to-noise ratio of the median channel, in dB.
        allowed: the largest allowed error; for a quantized artifact, the
            largest allowed `change`. None if it is unknown.
        published: the error when the bundle was published; None if it was
            not.
        change: the largest difference of a quantized artifact from its
            published values, relative to the layer's largest value.
        changed_channels: the fraction of the channels that are not as
            published.
        steps: the change in quantization steps of the layer; 0 if the layer
            is computed in float.
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
    result = LayerResult(
        reference.layer,
        (),
        reference.error(values),
        reference.snr(values),
        published=published.error if published else None,
    )
    rounding = tolerance(reference.keras_error)
    if not quantization:
        allowed = max(rounding, 2 * published.error if published else 0.0)
        diverges = not result.error <= allowed
        return replace(result, allowed=allowed, diverges=diverges)
    if published is None or published.values is None:
        return result
    before = replace(reference, values=published.values)
    sampled, means = np.split(
        np.abs(values - before.values), [len(reference.positions)]
    )
    change = before.error(values)
    allowed = max(MAX_CHANGE * published.error, rounding)
    step = _step(before.values[: len(reference.positions)])
    return replace(
        result,
        allowed=allowed,
        change=change,
        changed_channels=float(np.mean(~(means <= rounding * reference.scale))),
        steps=float(sampled.max(initial=0.0)) / step,
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
    start = next((i for i, r in enumerate(results) if r.changed_channels), None)
    if start is None:
        return list(results)
    first = results[start]
    same_kernels = start > 0 or first.changed_channels < 0.5
    suspect = altered or any(result.diverges for result in results)
    cause = first.steps > 1.5 or (same_kernels and suspect)
    return [
        *results[:start],
        replace(first, diverges=first.diverges or cause),
        *results[start + 1 :],
    ]


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


def flag_largest_snr_drop(
    results: Sequence[LayerResult],
) -> list[LayerResult]:
    """Flag the layer at which the signal-to-noise ratio drops the most."""
    largest = max((result.snr_drop for result in results), default=0.0)
    start = next(
        (i for i, r in enumerate(results) if r.snr_drop == largest > 0), None
    )
    return [replace(r, diverges=i == start) for i, r in enumerate(results)]


def _step(values: np.ndarray) -> float:
    """Return the step of quantized values; infinity if they are float."""
    steps = np.diff(np.unique(values))
    if not len(steps):
        return math.inf
    multiples = steps / steps.min()
    is_grid = np.abs(multiples - np.rint(multiples)).max() < 0.1
    return float(steps.min()) if is_grid else math.inf
