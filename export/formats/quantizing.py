"""What the quantizers of all formats are asked, and what they refuse."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from keras_inception_export.errors import RequestError, check_choice
from keras_inception_export.formats import SCHEMES
from keras_inception_export.signature import TensorSpec

INTEGERS = ("int8", "uint8")
"""What the inputs and outputs of an int8 artifact can be, beside float32."""


def check_scheme(
    scheme: str, float_layers: Collection[str], io: str | None
) -> None:
    """Raise RequestError unless the scheme can be written so."""
    check_choice("quantization", scheme, SCHEMES)
    check_io(io, [scheme])
    if float_layers and scheme != "int8":
        raise RequestError(
            f"{scheme} has no layers to leave in float: only int8 has"
        )


def check_io(io: str | None, schemes: Collection[str]) -> None:
    """Raise RequestError unless one of the schemes has such ends."""
    if io is None:
        return
    check_choice("quantized io", io, INTEGERS)
    if "int8" not in schemes:
        raise RequestError(
            f"integer inputs and outputs ({io}) need the quantization int8"
        )


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
