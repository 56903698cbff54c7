"""Image files, and folders of them, as samples."""

import sys

import numpy as np
import pytest
from PIL import Image

from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

PIXELS = np.array([[0, 40], [200, 255]], "uint8")


def spec(*shape, **options):
    options = {"dtype": "float32"} | options
    return (TensorSpec("image", (None, *shape), **options),)


def save(path, pixels=PIXELS):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def read(path, specs, scale=1.0):
    return load_samples(path, specs, scale).inputs["image"]


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat", "ant", "bee"], [0, 0, 1, 1, 2, 2]),
        (["2", "10"], [10, 10, 2, 2]),
        (["03", "7"], [3, 3, 7, 7]),
        (["7", "cat"], [0, 0, 1, 1]),
        (["."], None),
        (["only"], None),
        ([".", "cat", "bee"], None),
    ],
    ids=str,
)
def test_one_folder_per_class_gives_labels(names, labels, tmp_path):
    for name in names:
        for index in range(2):
            save(tmp_path / name / f"{index}.png")
    samples = load_samples(tmp_path, spec(2, 2, 1))
    assert len(samples) == 2 * len(names)
    np.testing.assert_array_equal(samples.labels, labels)


def test_pixels_are_scaled(tmp_path):
    pixels = read(save(tmp_path / "photo.png"), spec(2, 2, 1), 1 / 255)
    assert pixels.dtype == "float32"
    np.testing.assert_allclose(pixels[0, ..., 0], PIXELS / 255, rtol=1e-6)


def test_an_image_is_resized(tmp_path):
    """Bilinear interpolation; the expected values were computed by hand."""
    path = save(tmp_path / "photo.png", np.array([[0, 100]], "uint8"))
    pixels = read(path, spec(1, 4, 1))
    np.testing.assert_array_equal(pixels[0, 0, :, 0], [0, 25, 75, 100])
    assert read(path, spec(None, None, 1)).shape == (1, 1, 2, 1)


def test_channels(tmp_path):
    """Gray becomes RGB and RGB gray; channels may come first."""
    colours = np.arange(12, dtype="uint8").reshape(2, 2, 3)
    path = save(tmp_path / "colour.png", colours)
    np.testing.assert_array_equal(read(path, spec(2, 2, 3))[0], colours)
    first = read(path, spec(3, 2, 2))[0]
    np.testing.assert_array_equal(first, np.moveaxis(colours, -1, 0))
    assert read(path, spec(2, 2, 1)).shape == (1, 2, 2, 1)
    gray = read(save(tmp_path / "gray.png"), spec(2, 2, 3))[0]
    np.testing.assert_array_equal(gray, np.stack([PIXELS] * 3, axis=-1))


@pytest.mark.parametrize(
    ("dtype", "zero_point"), [("int8", -128), ("uint8", 0)]
)
def test_quantized_inputs_take_pixels_as_real_values(
    dtype, zero_point, tmp_path
):
    path = save(tmp_path / "photo.png")
    (quantized,) = spec(2, 2, 1, dtype=dtype, scale=2.0, zero_point=zero_point)
    pixels = read(path, (quantized,))
    assert pixels.dtype == dtype
    np.testing.assert_allclose(
        quantized.dequantize(pixels)[0, ..., 0], PIXELS, atol=1
    )


def test_integer_inputs_take_pixels_as_they_are(tmp_path):
    path = save(tmp_path / "photo.png")
    pixels = read(path, spec(2, 2, 1, dtype="uint8"))
    np.testing.assert_array_equal(pixels[0, ..., 0], PIXELS)
    with pytest.raises(RequestError, match="from 0 to 255 .* expected int8"):
        read(path, spec(2, 2, 1, dtype="int8"))


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (spec(4), r'inputs are "image" of shape \[\[None, 4\]\]; give a .npz'),
        (spec(2, 2, 1) * 2, 'inputs are "image", "image"'),
        (spec(2, 2, 5), "takes 5 channels, not 1 or 3"),
    ],
)
def test_a_model_that_takes_no_image(specs, message, tmp_path):
    with pytest.raises(RequestError, match=message):
        load_samples(save(tmp_path / "photo.png"), specs)


def test_images_of_different_sizes_are_refused(tmp_path):
    save(tmp_path / "photos/4.png")
    save(tmp_path / "photos/5.png", np.zeros((5, 4), "uint8"))
    with pytest.raises(RequestError, match=r"photos differ in shape: \(2, 2"):
        load_samples(tmp_path / "photos", spec(None, None, 1))


def test_unreadable_images_are_refused(tmp_path):
    (tmp_path / "photo.png").write_text("no image")
    with pytest.raises(RequestError, match=r"photo.png cannot be read"):
        load_samples(tmp_path / "photo.png", spec(2, 2, 1))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestError, match="contains no images"):
        load_samples(tmp_path / "empty", spec(2, 2, 1))


def test_without_pillow(tmp_path, monkeypatch):
    path = save(tmp_path / "photo.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(RequestError, match="needs the package pillow"):
        load_samples(path, spec(2, 2, 1))
