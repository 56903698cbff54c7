"""Image files, and folders of them, as samples."""

import struct
import sys

import numpy as np
import pytest
from PIL import Image

from keras_inception_export.data.images import decoded
from keras_inception_export.data.items import Item
from keras_inception_export.data.preprocessing import PRESETS, Preprocessing
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
    made = Preprocessing(scale=scale)
    return np.asarray(load_samples(path, specs, made).inputs["image"])


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat", "ant", "bee"], [0, 0, 1, 1, 2, 2]),
        (["2", "10"], [10, 10, 2, 2]),
        (["03", "7"], [3, 3, 7, 7]),
        (["7", "cat"], [0, 0, 1, 1]),
        (["1", "9" * 23], [0, 0, 1, 1]),  # too large a number is a name
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


def test_hidden_and_empty_folders(tmp_path, caplog):
    """Hidden files and folders are no samples; an empty folder is a class."""
    for name in ("ant", "cat", ".ipynb_checkpoints", "__MACOSX"):
        save(tmp_path / name / "0.png")
    (tmp_path / "bee").mkdir()
    (tmp_path / "cat" / "._0.png").write_bytes(b"not an image")
    with caplog.at_level("INFO", "keras_inception_export"):
        samples = load_samples(tmp_path, spec(2, 2, 1))
    np.testing.assert_array_equal(samples.labels, [0, 2])
    assert "Classes  ant 0, bee 1, cat 2" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["7", "007"], "classes '007' and '7', which"),
        (["7", "\u0667"], r"classes '7' and '\\u0667', which"),
        (["caf\u00e9", "cafe\u0301"], r"'cafe\\u0301' and 'caf\\xe9', which"),
        (["a", " a"], "classes ' a' and 'a', which"),
    ],
)
def test_classes_that_look_the_same_are_refused(names, message, tmp_path):
    for name in names:
        save(tmp_path / name / "0.png")
    with pytest.raises(RequestError, match=message):
        load_samples(tmp_path, spec(2, 2, 1))


def test_an_image_outside_of_the_classes_is_named(tmp_path, caplog):
    for name in ("ant/0.png", "cat/0.png", "1.png"):
        save(tmp_path / name)
    with caplog.at_level("INFO", "keras_inception_export"):
        assert load_samples(tmp_path, spec(2, 2, 1)).labels is None
    assert f"Classes  unknown, because {tmp_path}/1.png is in" in caplog.text


@pytest.mark.parametrize(
    ("test", "train"),
    [
        ("Test", "train"),
        ("test_set", "training-set"),
        ("testing_images", "train2017"),
        ("dataset_test", "val_split"),
    ],
)
def test_parts_of_a_data_set_are_not_classes(test, train, tmp_path):
    for name in (f"{train}/cat", f"{test}/dog", "more/dog"):
        save(tmp_path / name / "0.png")
    message = f"{test}, {train}, which are parts"
    with pytest.raises(RequestError, match=message):
        load_samples(tmp_path, spec(2, 2, 1))


def test_classes_may_be_named_after_tests(tmp_path):
    for name in ("test_tube", "test_strip", "train"):
        save(tmp_path / name / "0.png")
    classes = load_samples(tmp_path, spec(2, 2, 1)).classes
    assert classes == ("test_strip", "test_tube", "train")


def test_an_image_is_resized_and_scaled(tmp_path):
    """Bilinear interpolation; the expected values were computed by hand."""
    path = save(tmp_path / "photo.png", np.array([[0, 100]], "uint8"))
    pixels = read(path, spec(1, 4, 1), 1 / 100)
    assert pixels.dtype == "float32"
    np.testing.assert_allclose(
        pixels[0, 0, :, 0], [0, 0.25, 0.75, 1], rtol=1e-6
    )
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


RED = np.zeros((2, 2, 3), "uint8") + np.array([200, 10, 30], "uint8")
GRAY = np.array([[0, 40], [200, 255]])
GRAY3 = GRAY[..., None]


def with_alpha(pixels):
    alpha = np.array([[0, 90], [180, 255]], "uint8")[..., None]
    return np.concatenate([pixels, alpha], axis=-1)


def palette(pixels):
    image = Image.fromarray(pixels).quantize(4)
    image.info["transparency"] = bytes([0, 128, 255])
    return image


def cmyk(pixels):
    inverse = 255 - pixels
    black = np.zeros_like(pixels[..., :1])
    channels = np.concatenate([inverse, black], axis=-1)
    return Image.fromarray(channels, mode="CMYK")


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        *(
            ("16.png", (GRAY * 257 - x).clip(0).astype("uint16"), GRAY3)
            for x in (0, 100)
        ),
        ("alpha.png", with_alpha(RED), RED),
        ("alpha.png", with_alpha(PIXELS[..., None]), GRAY3),
        ("palette.png", palette(RED), RED),
        ("cmyk.jpg", cmyk(RED), RED),
        ("bits.png", PIXELS > 100, 255 * (GRAY > 100)[..., None]),
    ],
)
@pytest.mark.filterwarnings("ignore:.*mode.*parameter:DeprecationWarning")
def test_other_kinds_of_images(name, image, expected, tmp_path):
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(tmp_path / name, transparency=image.info.get("transparency"))
    pixels = read(tmp_path / name, spec(2, 2, expected.shape[-1]))[0]
    np.testing.assert_allclose(pixels, expected, atol=4)  # JPEG is inexact


LEVELS = np.array([[0, 640], [3210, 4095]])  # 12 bits
TIFF = 8, {256: 2, 257: 2, 259: 1, 273: 150, 277: 1, 278: 2}
"""Where the tags begin, and those of an image of 2 x 2 at byte 150."""


def write_tiff(path, content, tags):
    start, usual = TIFF
    facts = usual | {279: len(content)} | tags
    entries = [
        struct.pack("<HHII", *(k, 3, 1), facts[k]) for k in sorted(facts)
    ]
    head = struct.pack("<4sIH", b"II*\0", start, len(entries))
    path.write_bytes((head + b"".join(entries)).ljust(150, b"\0") + content)


def packed(values):
    """Return values of 12 bits as the bytes of a row each."""
    rows = (int(row[0]) << 12 | int(row[1]) for row in values)
    return b"".join(row.to_bytes(3, "big") for row in rows)


WORDS = (LEVELS * 16).astype("<u2").tobytes()


@pytest.mark.parametrize(
    ("content", "tags", "expected"),
    [
        (packed(LEVELS), {258: 12, 262: 1}, LEVELS / 4095 * 255),
        (WORDS, {258: 16, 262: 1}, LEVELS * 16 / 257),
        (WORDS, {258: 16, 262: 0}, 255 - LEVELS * 16 / 257),
        (b"0123", {258: 8, 262: 0}, 255 - np.frombuffer(b"0123", "u1")),
    ],
)
def test_gray_of_a_tiff_is_scaled_by_its_bits(
    content, tags, expected, tmp_path
):
    write_tiff(tmp_path / "a.tif", content, tags)
    pixels = read(tmp_path / "a.tif", spec(2, 2, 1))
    np.testing.assert_array_equal(pixels.ravel(), expected.ravel().round())


@pytest.mark.parametrize(("bits", "content"), [(8, b"0123"), (16, WORDS)])
def test_signed_pixels_are_refused(bits, content, tmp_path):
    write_tiff(tmp_path / "a.tif", content, {258: bits, 262: 1, 339: 2})
    with pytest.raises(RequestError, match="pixels are signed, whose range"):
        read(tmp_path / "a.tif", spec(2, 2, 1))


def test_the_orientation_of_a_photo_is_obeyed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    Image.fromarray(PIXELS).save(tmp_path / "photo.png", exif=exif)
    pixels = read(tmp_path / "photo.png", spec(2, 2, 1))[0, ..., 0]
    np.testing.assert_array_equal(pixels, np.rot90(PIXELS, -1))


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_pixels_of_unknown_range_are_refused(dtype, tmp_path):
    image = Image.fromarray(PIXELS.astype(dtype))
    image.save(tmp_path / "photo.tiff")
    (tmp_path / "photo.tiff").rename(tmp_path / "photo.png")
    with pytest.raises(RequestError, match='(signed|"F"), whose range'):
        read(tmp_path / "photo.png", spec(2, 2, 1))


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
    with pytest.raises(RequestError, match="int8.* is unknown; .*uint8, int16"):
        read(path, spec(2, 2, 1, dtype="int8"))


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (
            spec(4),
            r'"image" of shape \[None, 4\] takes no images .*; give .npy or',
        ),
        (spec(2, 2, 1) * 2, 'one array, but .* inputs "image", "image"'),
        (spec(2, 2, 5), "takes no images of 1 or 3 channels"),
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


def test_messages_have_no_address_in_memory(tmp_path):
    item = Item("x.tar/a.png", b"no image")
    with pytest.raises(RequestError, match="identify image file; expected"):
        decoded(item, PRESETS["none"])


def test_without_pillow(tmp_path, monkeypatch):
    path = save(tmp_path / "photo.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(RequestError, match="needs the package pillow"):
        load_samples(path, spec(2, 2, 1))
