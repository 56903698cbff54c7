"""Pixels become inputs as Pillow and `keras.applications` make them."""

import dataclasses
import itertools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.applications.imagenet_utils import preprocess_input
from PIL import Image
from sklearn.datasets import load_sample_images

from keras_inception_export.data import preprocessing
from keras_inception_export.data.images import decoded
from keras_inception_export.data.items import Item
from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.preprocessing import PRESETS, Preprocessing
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

PHOTOS = [path for path in load_sample_images().filenames]
GRAY = Image.fromarray(np.array([[0, 51], [204, 255]], "uint8"))
OWN_MODES = {
    "none": lambda x: x,
    "unit": lambda x: x / np.float32(255),
}
SIZES = {"InceptionV3": 299, "VGG16": 224}


@pytest.mark.parametrize("side", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_equal_keras_applications(name, data_format, side):
    """Bit for bit, after Pillow's decoding and resizing."""
    path = PHOTOS[side % 2]
    shape = (None, side, side, 3)
    if data_format == "channels_first":
        shape = (None, 3, side, side)
    made = PRESETS[name].fitted(TensorSpec("image", shape, "float32"))
    image = keras.utils.load_img(
        path, target_size=(side, side), interpolation="bilinear"
    )
    pixels = np.asarray(image, "float32")
    if data_format == "channels_first":
        pixels = np.moveaxis(pixels, -1, 0).copy()
    if name in OWN_MODES:
        expected = OWN_MODES[name](pixels)
    else:
        expected = preprocess_input(pixels, data_format, name)
    values = decoded(Item(path, Path(path)), made)
    assert values.dtype == expected.dtype == "float32"
    np.testing.assert_array_equal(values, expected)
    low, high = np.float32(made.range)
    assert low <= values.min() and values.max() <= high


def pixels_of(image):
    return np.asarray(image, "float32")


@pytest.mark.parametrize("filter_name", preprocessing.CHOICES["interpolation"])
def test_filters_are_pillows(filter_name):
    image = Image.open(PHOTOS[0])
    made = Preprocessing((40, 30), interpolation=filter_name)
    expected = image.resize((30, 40), Image.Resampling[filter_name.upper()])
    np.testing.assert_array_equal(made(image), pixels_of(expected))


@pytest.mark.parametrize(
    ("size", "cropped", "padded"),
    [
        ((4, 4), [[4, 4, 8, 8]] * 4, [[0] * 4, [2, 4, 8, 9], [0] * 4]),
        ((2, 4), [[2, 4, 8, 9]] * 2, [[2, 4, 8, 9]] * 2),
        ((4, 2), [[4, 8]] * 4, [[0, 0], [3, 8], [0, 0]]),
    ],
    ids=str,
)
def test_crop_and_pad_keep_proportions(size, cropped, padded):
    """A wide image of four bars; the expected values are worked by hand."""
    wide = np.repeat([[2, 4, 8, 9]], 20, axis=0).repeat(10, axis=1)
    image = Image.fromarray(wide.astype("uint8"))
    options = {"color": "grey", "interpolation": "box"}
    made = Preprocessing(size, "crop", **options)(image)
    np.testing.assert_array_equal(made[..., 0], cropped)
    made = Preprocessing(size, "pad", **options)(image)[..., 0]
    assert made.shape == size
    rows = [row for row, _ in itertools.groupby(made.tolist())]
    assert rows == padded[:1] if size == (2, 4) else rows == padded


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Preprocessing(color="grey"), pixels_of(GRAY)[..., None]),
        (
            Preprocessing(color="grey", scale=-1 / 255, mean=(-1.0,)),
            1 - pixels_of(GRAY)[..., None] / 255,
        ),
        (
            Preprocessing(mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0)),
            (pixels_of(GRAY)[..., None] - [1, 2, 3]) / [1, 2, 4],
        ),
        (Preprocessing(dtype="uint8"), np.stack([pixels_of(GRAY)] * 3, -1)),
        (
            Preprocessing(
                (1, None), color="grey", data_format="channels_first"
            ),
            pixels_of(GRAY).mean(axis=0, keepdims=True)[None],
        ),
    ],
    ids=["grey", "inverted", "per channel", "uint8", "one side"],
)
def test_values(made, expected):
    values = made(GRAY)
    assert values.dtype == made.dtype
    np.testing.assert_allclose(values, expected, atol=1e-6)
    again = Preprocessing.from_json(made.as_json())
    assert again == made and again.as_json() == made.as_json()


def test_range():
    assert PRESETS["tf"].range == (-1, 1)
    assert PRESETS["caffe"].range == (-123.68, 255 - 103.939)
    assert Preprocessing(scale=-1 / 255, mean=(-1.0,)).range == (0, 1)


SHAPES = {
    (None, 8, 8, 3): ("rgb", (8, 8), "channels_last"),
    (None, 3, 8, 9): ("rgb", (8, 9), "channels_first"),
    (1, None, 8, 1): ("grey", (None, 8), "channels_last"),
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_an_input_decides_size_and_channels(shape):
    made = PRESETS["unit"].fitted(TensorSpec("x", shape, "float32"))
    assert (made.color, made.size, made.data_format) == SHAPES[shape]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scal": 1}, 'field "scal" is unknown; did you mean "scale"'),
        ({"resize": "croop"}, 'did you mean "crop"'),
        ({"interpolation": ["bilinear"]}, "choose from nearest"),
        ({"scale": 0}, "the scale 0; expected a number, finite and not 0"),
        ({"scale": float("nan")}, "the scale"),
        ({"scale": True}, "the scale"),
        ({"std": [1, 0, 1]}, "the std"),
        ({"mean": [1, 2]}, "the mean .* expected 1 or 3 numbers"),
        ({"mean": 1}, "the mean"),
        ({"color": "grey", "mean": [1, 2, 3]}, "the mean"),
        ({"size": [8]}, "the size"),
        ({"size": [8, 0]}, "the size"),
        ({"dtype": "uint8", "scale": 0.5}, "the dtype"),
        ({"dtype": "complex64"}, "the|dtype"),
        ([1], "must be a JSON object"),
    ],
    ids=str,
)
def test_invalid_values(values, message):
    with pytest.raises(RequestError, match=message):
        Preprocessing.from_json(values)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("unit", (None, 4), "takes no images"),
        ("unit", (None, 8, 8, 5), "takes no images"),
        ("caffe", (None, 8, 8, 1), "has the mean .* has one"),
        ("grey", (None, 8, 8, 3), "color 'grey'; expected rgb or bgr"),
    ],
)
def test_inputs_that_do_not_fit(name, shape, message):
    made = PRESETS.get(name, Preprocessing(color="grey"))
    with pytest.raises(RequestError, match=message):
        made.fitted(TensorSpec("x", shape, "float32"))
    with pytest.raises(
        RequestError, match='uint8 .* scaled pixels; use .* "none"'
    ):
        PRESETS["unit"].fitted(TensorSpec("x", (None, 8, 8, 3), "uint8"))
    sized = Preprocessing((7, 8))
    with pytest.raises(RequestError, match=r"expected \[8, 8\] of the model"):
        sized.fitted(TensorSpec("x", (None, 8, 8, 3), "float32"))


def test_the_docs_name_everything():
    text = Path("docs/how_to/preprocessing.md").read_text(encoding="utf-8")
    names = [field.name for field in dataclasses.fields(Preprocessing)]
    values = itertools.chain(*preprocessing.CHOICES.values())
    for name in [*names, *values, *PRESETS]:
        assert f"`{name}`" in text
    example = json.loads(text.partition("```json\n")[2].partition("```")[0])
    known = Metadata.from_json(example).as_json()
    assert known.keys() == example.keys()
    for part in ("inputs", "outputs"):
        assert example[part][0].keys() == known[part][0].keys()
