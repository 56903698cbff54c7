"""The quantization schemes: what can be requested together.

This module and `registry` import no NumPy, so that `--help` answers at once.
"""

from collections.abc import Collection

from keras_inception_export.errors import RequestError, check_choice

PREPARED_SCHEME = "int8"
"""The scheme that is calibrated on samples and written from the prepared model.
Only it can leave layers in float and have integer inputs and outputs. The other
schemes are written from the float model, so that none depends on which schemes
are requested."""

INTEGERS = ("int8", "uint8")
"""What the inputs and outputs of an int8 artifact can be, besides float32."""


def check_io(io: str | None, schemes: Collection[str]) -> None:
    """Raise RequestError unless a scheme has integer inputs and outputs."""
    if io is None:
        return
    check_choice("quantized io", io, INTEGERS)
    if PREPARED_SCHEME not in schemes:
        raise RequestError(
            f"integer inputs and outputs ({io}) need the quantization int8"
        )
