"""From the pixels of an image to one input of a model; needs Pillow.

upright         the orientation that the EXIF data demands
8 bits          12 and 16 bits of gray are scaled to 255, of colors the upper 8
                are taken; palette and CMYK become their colors; alpha is left
                out; signed values are refused: their range is unknown
colour          gray for RGB: the same value in each channel; RGB for
                gray: 0.299 R + 0.587 G + 0.114 B
size            Pillow's filters, which antialias when they reduce
values          in float32: pixel / (1 / scale), less mean, / std
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_inception_export.data.reading import reading
from keras_inception_export.errors import (
    RequestError,
    check_choice,
    check_regular,
)

if TYPE_CHECKING:
    from PIL import Image

    from keras_inception_export.data.tensor_spec import TensorSpec

CHOICES = {
    "resize": ("stretch", "crop", "pad"),
    "interpolation": (
        *("nearest", "box", "bilinear"),
        *("hamming", "bicubic", "lanczos"),
    ),
    "color": ("rgb", "bgr", "grey"),
    "data_format": ("channels_last", "channels_first"),
}
"""The values of the fields that are names."""

REALS = ("float16", "float32", "float64")
INTEGERS = ("uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
"""The dtypes that hold the values of pixels."""

LARGEST = 255
"""The largest value of a pixel."""

BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
WHITE_IS_ZERO, SIGNED = 0, 2  # values of the last two


@dataclass(frozen=True)
class Preprocessing:
    """How the pixels of an image become one input of a model.

    Args:
        size: height and width; `None`: those of the image itself. Defaults to
            `(None, None)`.
        resize: `"stretch"`; `"crop"`, which cuts the longer side at both ends
            to the proportions of `size` and then resizes; or `"pad"`, which
            adds black at both ends of the shorter side. Defaults to
            `"stretch"`.
        interpolation: the name of Pillow's filter. All but `"nearest"`
            antialias when they reduce: the filter is as many times wider as
            the image is larger, in one step (Pillow's `reducing_gap` is
            `None`), and this cannot be switched off. `"nearest"` takes the
            pixel below the center of each new one. Defaults to `"bilinear"`.
        color: `"rgb"`, `"bgr"` or `"grey"`. Defaults to `"rgb"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `"channels_last"`.
        scale: factor for pixels of 0 to 255. Defaults to `1.0`.
        mean: what is subtracted after that, for all channels or one per
            channel of the result, in the order of `color`. Defaults to 0.
        std: what it is divided by after that. Defaults to 1.
        dtype: the dtype of the result. Defaults to `"float32"`.

    Raises:
        RequestError: if an argument is invalid.

    Example:

    >>> from PIL import Image
    >>> gray = Image.new("L", (4, 2), 51)
    >>> array = Preprocessing(scale=1 / 255)(gray)
    >>> array.shape, array[0, 0]
    ((2, 4, 3), array([0.2, 0.2, 0.2], dtype=float32))
    """

    size: tuple[int | None, int | None] = (None, None)
    resize: str = "stretch"
    interpolation: str = "bilinear"
    color: str = "rgb"
    data_format: str = "channels_last"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        is_pair = isinstance(self.size, (tuple, list)) and len(self.size) == 2
        if not is_pair or not all(
            side is None or (type(side) is int and side > 0)
            for side in self.size
        ):
            raise _invalid("size", self.size, "height and width, or null")
        _check_numbers("scale", [self.scale], {1})
        _check_numbers("mean", self.mean, {1, self.channels}, zero=True)
        _check_numbers("std", self.std, {1, self.channels})
        for name in ("size", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_choice("dtype", self.dtype, (*REALS, *INTEGERS))
        if self.dtype in INTEGERS and not self.keeps_values:
            raise RequestError(
                f"the dtype {self.dtype} of an input cannot hold scaled "
                'pixels; use the preprocessing "none"'
            )

    @property
    def channels(self) -> int:
        """The number of channels of the result."""
        return 1 if self.color == "grey" else 3

    @property
    def keeps_values(self) -> bool:
        """Whether the values of the result are those of the pixels."""
        return (
            self.scale == 1 and set(self.mean) == {0} and set(self.std) == {1}
        )

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest value of the result."""
        ends = np.array([[[0] * 3, [LARGEST] * 3]], "uint8")
        values = self.normalize(ends[..., : self.channels], "float64")
        return float(values.min()), float(values.max())

    def __call__(self, image: Image.Image) -> np.ndarray:
        """Return the input for one image, without an axis for the batch.

        Raises:
            ValueError: if the range of the image's values is unknown.
        """
        from PIL import Image, ImageOps

        tags = getattr(image, "tag_v2", {})  # of a TIFF file
        image = _to_bytes(ImageOps.exif_transpose(image), tags)
        image = image.convert("L" if self.color == "grey" else "RGB")
        size = self.size[1] or image.width, self.size[0] or image.height
        method = Image.Resampling[self.interpolation.upper()]
        others = {"crop": ImageOps.fit, "pad": ImageOps.pad}
        resize = others.get(self.resize, Image.Image.resize)
        pixels = np.asarray(resize(image, size, method))
        return self.normalize(pixels.reshape(*pixels.shape[:2], -1))

    def normalize(
        self, pixels: np.ndarray, dtype: str | None = None
    ) -> np.ndarray:
        """Return the values for pixels of 0 to 255 and of the right size.

        Args:
            pixels: `(..., height, width, channels)`, in RGB or grey.
            dtype: that of the computation, float32 or float64, and of the
                result. Defaults to `None`: computed in float32.
        """
        if self.color == "bgr":
            pixels = pixels[..., ::-1]
        values = pixels.astype(dtype or "float32")
        # A division, as in `keras.applications`: no other sequence of rounding
        # steps gives its values bit for bit.
        if self.scale != 1:
            values /= values.dtype.type(1 / self.scale)
        values -= np.asarray(self.mean, values.dtype)
        values /= np.asarray(self.std, values.dtype)
        if self.data_format == "channels_first":
            values = np.moveaxis(values, -1, -3)
        values = values.astype(dtype or self.dtype, copy=False)
        return np.ascontiguousarray(values)

    def fitted(self, spec: TensorSpec) -> Preprocessing:
        """Return the preprocessing with the size and dtype of an input.

        Raises:
            RequestError: if the input takes no images, or others.
        """
        axis = channel_axis(spec)
        if axis is None:
            raise RequestError(
                f'the input "{spec.name}" of shape {list(spec.shape)} takes no '
                "images of 1 or 3 channels; give .npy or .npz without a "
                "preprocessing"
            )
        channels = spec.shape[axis]
        height, width = spec.shape[2:] if axis == 1 else spec.shape[1:3]
        for own, side in zip(self.size, (height, width), strict=True):
            if None not in (own, side) and own != side:
                own_size = f"{[height, width]} of the model"
                raise _invalid("size", self.size, own_size)
        color = self.color if channels == 3 else "grey"
        if channels == 3 and color == "grey":
            raise _invalid("color", color, "rgb or bgr for three channels")
        lengths = {len(self.mean), len(self.std)}
        if channels == 1 and lengths != {1}:
            raise RequestError(
                f"the preprocessing has the mean {list(self.mean)} for three "
                f'channels, but the input "{spec.name}" has one; give one value'
            )
        return replace(
            self,
            size=(height or self.size[0], width or self.size[1]),
            color=color,
            data_format="channels_first" if axis == 1 else "channels_last",
            dtype="float32" if spec.scale is not None else spec.dtype,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the fields as a dictionary, as JSON can hold it."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_json(cls, values: Any) -> Preprocessing:
        """Return the preprocessing of a dictionary that `as_json` returned.

        What is missing has its default.

        Raises:
            RequestError: if a key or a value is invalid.
        """
        if not isinstance(values, Mapping):
            raise RequestError(
                "the preprocessing must be a JSON object such as "
                f'{{"scale": 0.00392}}; got {type(values).__name__}'
            )
        names = [field.name for field in fields(cls)]
        for name in values:
            check_choice("preprocessing field", name, names)
        return cls(**values)


def channel_axis(spec: TensorSpec) -> int | None:
    """Return the axis of the 1 or 3 channels of images; `None`: no images."""
    if len(spec.shape) != 4:
        return None
    return next((axis for axis in (3, 1) if spec.shape[axis] in (1, 3)), None)


def _to_bytes(image: Image.Image, tags: Mapping[int, Any]) -> Image.Image:
    """Return an image with values of 0 to 255, without a palette.

    `tags` are those of a TIFF. It is a ValueError if the range is unknown.
    """
    from PIL import Image

    signed = SIGNED in tags.get(SAMPLE_FORMAT, ())
    if signed or image.mode in ("I", "F"):
        kind = "signed" if signed else f'of mode "{image.mode}"'
        raise ValueError(
            f"its pixels are {kind}, whose range is unknown; expected 8 or 16 "
            "bits per channel; give a .npy"
        )
    if image.mode.startswith("I;16"):
        bits = tags.get(BITS, (16,))[0]  # 12 in the same mode
        values = np.asarray(image) / ((2**bits - 1) / LARGEST)
        if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow ignores it
            values = LARGEST - values
        return Image.fromarray(values.round().astype("uint8"))
    # Pillow warns if it converts a palette with transparency to RGB directly.
    return image.convert("RGBA") if image.mode in ("P", "PA") else image


def make_preprocessing(value: Any) -> Any:
    """Return the preprocessing that a user asks for.

    Args:
        value: a `Preprocessing`; the name of a preset; the path of a JSON
            file; a dictionary of the fields; or one of these per input name.

    Returns:
        A `Preprocessing`, or a dictionary of them by input name.

    Raises:
        RequestError: if there is none like that.
    """
    if isinstance(value, (str, Path)) and Path(value).suffix == ".json":
        path = Path(value)
        check_regular(path)
        with reading(path, error=RequestError):
            value = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(value, Mapping):
        names = {field.name for field in fields(Preprocessing)}
        parts = (str, Mapping, Preprocessing)
        if (
            value
            and names.isdisjoint(value)
            and all(isinstance(x, parts) for x in value.values())
        ):
            return {name: _one(value[name]) for name in value}
    return _one(value)


def _one(value: Any) -> Preprocessing:
    """Return the preprocessing of a preset's name or of its fields."""
    if isinstance(value, Preprocessing):
        return value
    if isinstance(value, (str, Path)):
        check_choice("preprocessing", str(value), PRESETS)
        return PRESETS[str(value)]
    return Preprocessing.from_json(value)


def _check_numbers(name, values, lengths, *, zero=False) -> None:
    """Raise RequestError unless these are numbers that float32 can hold."""
    if (
        not isinstance(values, (tuple, list))
        or len(values) not in lengths
        or not all(
            type(x) in (int, float)
            and (1e-30 < abs(x) < 1e30 or (zero and x == 0))
            for x in values
        )
    ):
        kind = "finite" if zero else "finite and not 0"
        if name == "scale":
            raise _invalid(name, values[0], f"a number, {kind}")
        count = " or ".join(map(str, sorted(lengths)))
        raise _invalid(name, values, f"{count} numbers, {kind}")


def _invalid(name: str, value: Any, expected: str) -> RequestError:
    return RequestError(
        f"the preprocessing has the {name} {value!r}; expected {expected}"
    )


PRESETS = {
    "none": Preprocessing(),
    "unit": Preprocessing(scale=1 / 255),
    "tf": Preprocessing(scale=1 / 127.5, mean=(1.0,)),
    "torch": Preprocessing(
        scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    ),
    "caffe": Preprocessing(color="bgr", mean=(103.939, 116.779, 123.68)),
}
"""Values of 0 to 255; of 0 to 1; and the modes of `keras.applications`."""
