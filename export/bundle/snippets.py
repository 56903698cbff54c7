"""Programs that run an artifact without this package, in other languages."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any

from keras_inception_export.bundle.bundle import (
    REPORT,
    check_published,
    read_report,
)
from keras_inception_export.data.preprocessing import Preprocessing
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError, check_choice
from keras_inception_export.formats.registry import (
    FASTEST_FIRST,
    FORMATS,
    format_of,
)
from keras_inception_export.logs import printable
from keras_inception_export.prediction.records import is_scores

LANGUAGES = ("python", "javascript", "cpp")

ARRAYS = {
    "float32": ("Float32Array", "float"),
    "float64": ("Float64Array", "double"),
    "uint8": ("Uint8Array", "uint8_t"),
    "int32": ("Int32Array", "int32_t"),
}
"""The names of dtypes in JavaScript and in C++."""

FITS = {"stretch": "fill", "crop": "cover", "pad": "contain"}
KERNELS = {"nearest": "nearest", "bicubic": "cubic", "lanczos": "lanczos3"}
"""What JavaScript's sharp calls the ways to resize; otherwise "linear"."""

PIXELS = {
    "rgb": "r, g, b",
    "bgr": "b, g, r",
    "grey": "{}round(0.299 * r + 0.587 * g + 0.114 * b)",
}


def snippet(path: str | Path, language: str) -> str:
    """Return a program that predicts the classes of images.

    `path` is an artifact, which says how pixels become its input, or a bundle,
    of which the first of `FASTEST_FIRST` is taken for which there is a program.

    Raises:
        RequestError: if there is no program for it in that language.
    """
    check_choice("language", language, LANGUAGES)
    path = _artifact(Path(path), language)
    record = format_of(path)
    check_published(path)
    templates = record.snippets() if record.snippets else {}
    if language not in templates:
        others = f"in {', '.join(templates)}"
        if not templates:
            others = f"for {', '.join(_formats(language))}"
        raise RequestError(
            f"there is no {language} code for {record.name}; there is some "
            f"{others}"
        )
    inputs, outputs = record.specs(path)
    known = record.read_metadata(path)
    made = known.inputs[0].preprocessing if known else None
    scores = [spec for spec in outputs if is_scores(spec) and spec.shape[1]]
    if len(inputs) > 1 or not scores:
        names = (f'"{x.name}" {list(x.shape)}' for x in (*inputs, *outputs))
        raise RequestError(
            "there is code for artifacts that take one image and have scores "
            f"of classes; {path} has {', '.join(names)}"
        )
    if known is None or made is None:
        raise RequestError(
            f"{path} does not say how pixels become its input, as the code "
            "must; export the model with --preprocess"
        )
    image = pixels = inputs[0]
    if (image.scale, image.zero_point) == (1, 0):  # its integers are pixels
        pixels = replace(image, scale=None)
    quantized = [x for x in (pixels, scores[0]) if x.scale is not None]
    if quantized or image.dtype not in ARRAYS:
        raise RequestError(
            f"there is no code for {(*quantized, image)[0].dtype}; expected "
            f"{', '.join(ARRAYS)}, not quantized"
        )
    made = made.fitted(pixels)
    number = int(scores[0].shape[1] or 0)
    labels = known.labels.get(scores[0].name, ())
    if len(labels) != number:
        labels = tuple(f"class {i}" for i in range(number))
    values = _values(path, image, scores[0], made, labels)
    if language == "javascript" and made.size.count(None) == 1:
        raise RequestError(
            "there is no javascript code for images of which one side is "
            f"known: {list(made.size)}; use python"
        )
    values |= _of_language(language, values, made)
    return Template(templates[language]).substitute(values)


def _formats(language: str) -> list[str]:
    """Return the formats that have programs in a language."""
    return [
        name
        for name in FASTEST_FIRST
        if (make := FORMATS[name].snippets) and language in make()
    ]


def _artifact(path: Path, language: str) -> Path:
    """Return the artifact of a bundle for which there is a program."""
    if not (path / REPORT).is_file():
        return path
    found = {
        entry["format"]: path / entry["path"]
        for entry in read_report(path)["artifacts"]
        if not entry.get("quantization")
    }
    names = (*_formats(language), *found)
    return next((found[name] for name in names if name in found), path)


def _values(
    path: Path,
    image: TensorSpec,
    scores: TensorSpec,
    made: Preprocessing,
    labels: Sequence[str],
) -> dict[str, Any]:
    """Return what is the same text in Python, JavaScript and C++."""
    sizes = ("any" if n is None else f"{n}" for n in image.shape)

    def each(values):
        return json.dumps([*values] * (made.channels // len(values)))

    return {
        "file": re.sub(r"[^\w.-]", "_", path.name),
        "file_text": _text(str(path)),
        "input": _text(image.name),
        "output": _text(scores.name),
        "labels": _text([*map(printable, labels)]),
        "batch": image.shape[0] or 1,
        "dtype": image.dtype,
        "shape": f"({', '.join(sizes)})",
        "size": json.dumps(list(made.size) if all(made.size) else None),
        "channels": made.channels,
        "color": made.color,
        "divisor": 1 / made.scale,
        "mean": each(made.mean),
        "std": each(made.std),
        "channels_first": json.dumps(made.data_format == "channels_first"),
    }


def _text(value: Any) -> str:
    """Return a text, or a list of texts, as it is written in each language.

    Escapes of characters beyond U+FFFF would differ. A name of a file that is
    not UTF-8 has escapes all the same, as Python understands them.
    """
    text = json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _of_language(
    language: str, values: dict[str, Any], made: Preprocessing
) -> dict[str, Any]:
    """Return what differs between the languages."""
    pixel = PIXELS[made.color]
    if language == "python":
        return {"read": _read(made)}
    if language == "javascript":
        return {
            "array": ARRAYS[values["dtype"]][0],
            "pixel": f"[{pixel.format('Math.')}]",
            "fit": FITS[made.resize],
            "kernel": KERNELS.get(made.interpolation, "linear"),
        }
    height, width = made.size
    lists = ("labels", "mean", "std")
    return {
        "array": ARRAYS[values["dtype"]][1],
        "pixel": f"{{{pixel.format('std::')}}}",
        "fits": " && ".join(
            f"{name} == {side}" if side else f"{name} > 0"
            for name, side in (("width", width), ("height", height))
        ),
        "magick": f"-resize '{width}x{height}!'" if height and width else "",
        **{name: f"{{{values[name][1:-1]}}}" for name in lists},
    }


def _read(made: Preprocessing) -> str:
    """Return the body of a function in Python that reads an image."""
    mode = "L" if made.color == "grey" else "RGB"
    lines = [
        "image = ImageOps.exif_transpose(Image.open(path))",
        f'image = image.convert("{mode}")',
    ]
    if any(made.size):
        height, width = made.size
        size = f"({width or 'image.width'}, {height or 'image.height'})"
        method = f"Image.Resampling.{made.interpolation.upper()}"
        call = {
            "stretch": f"image.resize({size}, {method})",
            "crop": f"ImageOps.fit(image, {size}, {method})",
            "pad": f"ImageOps.pad(image, {size}, {method})",
        }[made.resize]
        lines.append(f"image = {call}")
    lines.append(
        "values = np.asarray(image).reshape(image.height, image.width, -1)"
    )
    if made.color == "bgr":
        lines.append("values = values[..., ::-1]")
    lines.append('values = values.astype("float32")')
    if made.scale != 1:
        lines.append(f"values /= {1 / made.scale!r}")
    for sign, name, plain in (("-", "mean", 0), ("/", "std", 1)):
        numbers = getattr(made, name)
        if set(numbers) != {plain}:
            lines.append(f'values {sign}= np.array({list(numbers)}, "float32")')
    if made.data_format == "channels_first":
        lines.append("values = np.moveaxis(values, -1, 0)")
    return "\n".join(f"    {line}" for line in lines)
