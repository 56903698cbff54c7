"""Checks of what was asked for, before anything is loaded or written."""

import difflib
from pathlib import Path

from keras_inception_export.bundle import check_output
from keras_inception_export.errors import RequestError
from keras_inception_export.formats import FILES
from keras_inception_export.formats.onnx import check_opset


def check_request(
    output: Path, formats, batch_size, opset, overwrite
) -> tuple[str, ...]:
    """Return the formats in the order in which they are written.

    Raises:
        RequestError: if an argument is out of its range, or the bundle
            cannot or must not go to `output`.
    """
    if isinstance(formats, str):
        formats = (formats,)
    if not formats:
        raise RequestError(
            f"no format was given; choose from {', '.join(FILES)}"
        )
    for name in formats:
        check_choice("format", name, FILES)
    check_opset(opset)
    if batch_size is not None and (
        not isinstance(batch_size, int) or batch_size < 1
    ):
        raise RequestError(
            f"the batch size must be an integer of at least 1, got "
            f"{batch_size!r}"
        )
    check_output(output, overwrite=overwrite)
    return tuple(name for name in FILES if name in formats)


def check_choice(role, name, choices) -> None:
    """Raise RequestError, with the nearest choice, for an unknown name."""
    if name in choices:
        return
    near = difflib.get_close_matches(str(name), choices, 1)
    hint = f'did you mean "{near[0]}"? ' if near else ""
    raise RequestError(
        f'{role} "{name}" is unknown; {hint}choose from {", ".join(choices)}'
    )
