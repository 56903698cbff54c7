"""What the quantizers of all formats are asked, and what they refuse."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from keras_inception_export.errors import RequestError
from keras_inception_export.formats import SCHEMES
from keras_inception_export.signature import TensorSpec


def check_scheme(
    scheme: str, float_layers: Collection[str], io: str | None
) -> None:
    """Raise RequestError unless the scheme can be written so."""
    if scheme not in SCHEMES:
        raise RequestError(
            f"received the quantization {scheme!r}, expected one of {SCHEMES}"
        )
    if io not in (None, "int8", "uint8"):
        raise RequestError(
            f"received {io!r} as the type of inputs and outputs, expected "
            "'int8' or 'uint8'"
        )
    if scheme != "int8" and (float_layers or io):
        raise RequestError(
            f"{scheme} has float inputs and outputs, and no layers to leave "
            "in float: only int8 has"
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
