"""Images of any kind, with 8 bits per channel; needs Pillow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


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
