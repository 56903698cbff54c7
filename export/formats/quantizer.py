"""What the quantizers of all formats are asked, and what they refuse."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

LARGEST = 127
"""The integer that stands for the largest weight of a filter."""

DRIFT = 8
"""How many steps a weight may be rounded away from its value; one that is
farther off is another kernel's."""


def check_layers(float_layers: Collection[str], layers: Sequence[str]) -> None:
    """Raise RequestError unless those left in float are among the layers."""
    unknown = sorted(set(float_layers) - set(layers))
    if unknown:
        raise RequestError(
            f"received the layers {unknown} to leave in float, expected "
            f"some of {list(layers)}"
        )


def calibration_arrays(
    specs: Sequence[TensorSpec], calibration: Mapping[str, np.ndarray] | None
) -> dict[str, np.ndarray]:
    """Return the calibration's arrays in the order of the inputs.

    Raises:
        RequestError: there are none, one is missing, or not all have as many
            rows.
    """
    if calibration is None:
        raise RequestError(
            "int8 needs samples of the model's inputs to measure the ranges "
            "of its activations on; received none"
        )
    names = [spec.name for spec in specs]
    counts = {len(calibration[name]) for name in names if name in calibration}
    if set(calibration) != set(names) or len(counts) != 1 or 0 in counts:
        raise RequestError(
            f"received calibration samples for {sorted(calibration)}, "
            f"numbering {sorted(counts)}; expected as many for each of {names}"
        )
    return {
        spec.name: np.asarray(calibration[spec.name], spec.dtype)
        for spec in specs
    }


def largest_weight(
    kernel: np.ndarray, axes: tuple[int, ...] | None = None
) -> np.ndarray:
    """Return the largest magnitude along axes, without a copy of them."""
    return np.maximum(
        kernel.max(axes, keepdims=True), -kernel.min(axes, keepdims=True)
    )


def kernel_scale(kernel: np.ndarray, axis: int) -> np.ndarray:
    """Return the step of each filter, which the formats' quantizers give it.

    Args:
        kernel: the weights, in any order of axes.
        axis: the axis that counts filters. The others stay, with length 1.
    """
    others = tuple(x for x in range(kernel.ndim) if x != axis % kernel.ndim)
    largest = largest_weight(kernel, others)
    return np.where(largest > 0, largest / np.float32(LARGEST), np.float32(1))


def rounded_kernel(
    kernel: np.ndarray, integers: np.ndarray, axis: int
) -> np.ndarray:
    """Return a kernel in float that its quantizer turns into these integers.

    Args:
        kernel: the weights.
        integers: in the same order of axes.
        axis: the axis that counts filters.

    Returns:
        The kernel itself where the integers are those of another.
    """
    scale = kernel_scale(kernel, axis)
    if (
        integers.shape != kernel.shape
        or np.abs(np.rint(kernel / scale) - integers).max() > DRIFT
    ):
        return kernel
    return integers * scale
