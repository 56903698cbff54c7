"""The ONNX operator sets that can be written."""

from keras_inception_export.errors import RequestError

OPSETS = range(13, 19)
"""The operator sets that can be written; tf2onnx supports none above."""


def check_opset(opset: int) -> None:
    """Raise `RequestError` for an operator set that cannot be written."""
    if opset not in OPSETS:
        raise RequestError(
            f"opset {opset} cannot be written; choose one from {OPSETS[0]} "
            f"to {OPSETS[-1]}"
        )
