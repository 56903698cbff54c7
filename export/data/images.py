"""Read image files as samples of a model; needs Pillow.

Pixels are 0 to 255, in the orientation that the file's EXIF data demands. Other
kinds of images are converted:

    16 bits per pixel   divided by 257
    palette, CMYK       to their colours
    alpha               left out
    gray, for RGB       the same value in each channel
    RGB, for gray       0.299 R + 0.587 G + 0.114 B
    floating point      refused, since its range is unknown
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_inception_export.data.reading import reading
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError
from keras_inception_export.logs import logger

if TYPE_CHECKING:
    from PIL import Image

PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
"""Pillow goes by the content, and runs programs for some other formats."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def is_image(path: Path) -> bool:
    """Return whether the suffix of a file is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def images_in(path: Path) -> list[Path]:
    """Return the image files in a folder, at any depth, but hidden ones."""
    return [
        file
        for file in sorted(path.rglob("*"))
        if is_image(file)
        and not any(map(_hidden, file.relative_to(path).parts))
    ]


def folder_classes(path: Path, images: Sequence[Path]) -> np.ndarray | None:
    """Return the class of each image, if there is one folder per class.

    The class is the folder's name if all names are numbers, otherwise the
    index of the name in alphabetical order, empty folders included. There are
    no classes if an image is outside of the folders, or there is only one
    folder. What was found is logged.

    Raises:
        RequestError: if the folders are parts of a data set, such as `train`.
    """
    folders = [image.relative_to(path).parts[:-1] for image in images]
    names = sorted(
        folder.name
        for folder in path.iterdir()
        if folder.is_dir() and not _hidden(folder.name)
    )
    if not all(folders) or len(names) < 2:
        return None
    if PARTS.issuperset(name.lower() for name in names):
        raise RequestError(
            f"{path} has the folders {', '.join(names)}, which are parts of a "
            "data set, not classes; give one of them"
        )
    numbers = list(range(len(names)))
    if all(name.isdecimal() and len(name) < 10 for name in names):
        numbers = [int(name) for name in names]
    classes = dict(zip(names, numbers, strict=True))
    shown = ", ".join(f"{name} {classes[name]}" for name in names[:10])
    more = f", and {len(names) - 10} more" if len(names) > 10 else ""
    logger.info("Classes  %s%s", shown, more)
    return np.array([classes[folder[0]] for folder in folders], "int64")


def _hidden(name: str) -> bool:
    return name.startswith(".")


def read_image(
    path: Path, specs: Sequence[TensorSpec], scale: float
) -> np.ndarray:
    """Return one image, resized to the height and width of the input.

    The pixels are float32, unless the input takes plain integers and the scale
    is 1.
    """
    shape = specs[0].shape[1:]
    if len(specs) != 1 or len(shape) != 3:
        names = ", ".join(f'"{spec.name}"' for spec in specs)
        raise RequestError(
            f"{path} is an image, but the model's inputs are {names} "
            f"of shape {[list(spec.shape) for spec in specs]}; give a .npz"
        )
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise RequestError(
            f"{path} is an image, which needs the package pillow; install "
            "pillow, or give a .npy"
        ) from None
    channels_first = shape[0] in (1, 3) and shape[2] not in (1, 3)
    channels = shape[0] if channels_first else shape[2]
    if channels not in (1, 3):
        raise RequestError(
            f"{path} is an image, but the model takes {channels} channels, "
            "not 1 or 3; give a .npy"
        )
    height, width = shape[1:] if channels_first else shape[:2]
    with reading(path, error=RequestError):
        with Image.open(path, formats=FORMATS) as file:
            image = _to_bytes(ImageOps.exif_transpose(file))
        image = image.convert("L" if channels == 1 else "RGB")
        size = (width or image.width, height or image.height)
        pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    pixels = pixels.reshape(*pixels.shape[:2], channels)
    if channels_first:
        pixels = np.moveaxis(pixels, -1, 0)
    if scale == 1 and not specs[0].takes_reals:
        return pixels
    return pixels.astype("float32") * np.float32(scale)


def _to_bytes(image: Image.Image) -> Image.Image:
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
