"""Photos, and models that expect them in several ways, for `info --code`."""

import numpy as np
from PIL import Image

from keras_inception_export import load_artifact
from keras_inception_export.data.preprocessing import (
    Preprocessing,
    make_preprocessing,
)
from keras_inception_export.formats.registry import FORMATS
from tests.helpers.brightness import metadata, write_brightness

CASES = {
    "grey": (1, {"preset": "unit"}),
    "torch": (3, {"preset": "torch", "resize": "crop"}),
    "caffe": (3, {"preset": "caffe", "resize": "pad"}),
    "lanczos": (1, {"preset": "tf", "interpolation": "lanczos"}),
}
"""The channels of an input, and how photos become it."""


def write_photos(folder):
    """Write photos of three sizes, one of them turned by its EXIF data."""
    rng = np.random.default_rng(0)
    paths = []
    for index, size in enumerate(((40, 32, 3), (16, 24, 3), (20, 20))):
        pixels = np.clip(rng.normal(90 + 60 * index, 30, size), 0, 255)
        image = Image.fromarray(pixels.astype("uint8"))
        exif = Image.Exif()
        exif[0x0112] = 6 if index == 0 else 1
        paths.append(str(folder / f"{index}.png"))
        image.save(paths[-1], exif=exif)
    return paths


def write_model(path, channels, **options):
    """Write a model that expects what these options say."""
    write_brightness(path, size=(8, 6), channels=channels, known=False)
    base = make_preprocessing(options.pop("preset", "none"))
    facts = base.as_json() | options
    known = metadata((8, 6), Preprocessing.from_json(facts), channels)
    FORMATS["onnx"].write_metadata(path, known)


def printed(text):
    """Return the scores that a program printed, by photo and label."""
    rows = (line.rsplit(" ", 1) for line in text.splitlines())
    found = {name: float(score) for name, score in rows}
    assert len(found) == 9
    return found


def expected(path, photos):
    """Return the scores that it should print."""
    return {
        f"{photo} {label}": score
        for photo, found in zip(
            photos, load_artifact(path).predict(photos), strict=True
        )
        for _, label, score in found.top()
    }
