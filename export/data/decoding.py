"""Images of any kind, with 8 bits per channel; needs Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
"""The kinds of images that are read: Pillow goes by the content of a file, and
runs programs for some other kinds."""


def open_image(source: Any) -> Image.Image:
    """Open the path of an image, or an open file.

    Raises:
        ValueError: if it is no image of `FORMATS`.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(source, formats=FORMATS)
    except UnidentifiedImageError:  # its message has an address in memory
        kinds = ", ".join(FORMATS)
        raise ValueError(
            f"cannot identify image file; expected one of {kinds}"
        ) from None


def to_bytes(image: Image.Image) -> Image.Image:
    """Return an image with values of 0 to 255, without a palette.

    Raises:
        ValueError: if the range of its values is unknown.
    """
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode, image.format) == (
        "I",
        "PNG",
    ):
        values = np.asarray(image).astype("float64") / 257
        return Image.fromarray(values.round().astype("uint8"))
    if image.mode in ("I", "F"):
        raise ValueError(
            f'its pixels are of mode "{image.mode}", whose range is unknown; '
            "expected 8 or 16 bits per channel; give a .npy"
        )
    # Pillow warns if it converts a palette with transparency to RGB directly.
    return image.convert("RGBA") if image.mode in ("P", "PA") else image
