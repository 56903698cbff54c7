"""Samples and labels, from everything a user may hold."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

SPEC = (TensorSpec("image", (None, 4, 4, 1), "float32"),)
IMAGES = np.random.default_rng(0).random((6, 4, 4, 1), dtype="float32")
LABELS = np.array([2, 0, 1, 1, 0, 2])


def batches(size):
    for start in range(0, 6, size):
        rows = slice(start, start + size)
        yield IMAGES[rows], LABELS[rows]


LABELLED = {
    "a pair": (IMAGES, LABELS),
    "a dictionary": {"x": IMAGES, "y": LABELS},
    "by input name": {"image": IMAGES, "y": LABELS},
    "one-hot labels": (IMAGES, np.eye(3)[LABELS]),
    "a column of labels": (IMAGES, LABELS[:, None]),
    "batches": batches(4),
    "single samples": zip(IMAGES, LABELS, strict=True),
    "a list of dictionaries": [{"x": IMAGES, "y": LABELS}],
    "a dataset": tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(4),
}


@pytest.mark.parametrize("source", LABELLED.values(), ids=LABELLED)
def test_labels_come_with_the_samples(source):
    samples = load_samples(source, SPEC)
    np.testing.assert_array_equal(samples.inputs["image"], IMAGES)
    np.testing.assert_array_equal(samples.labels, LABELS)
    assert len(samples.take(slice(2, 4))) == 2


UNLABELLED = {
    "an array": IMAGES,
    "nested lists": IMAGES.tolist(),
    "a dictionary": {"image": IMAGES},
    "a dataset": tf.data.Dataset.from_tensor_slices(IMAGES).batch(5),
    "a generator": (image for image in IMAGES),
}


@pytest.mark.parametrize("source", UNLABELLED.values(), ids=UNLABELLED)
def test_samples_need_no_labels(source):
    samples = load_samples(source, SPEC)
    np.testing.assert_allclose(samples.inputs["image"], IMAGES, rtol=1e-6)
    assert samples.labels is None


def test_npz_file(tmp_path):
    np.savez(tmp_path / "data.npz", x=IMAGES, y=LABELS)
    samples = load_samples(tmp_path / "data.npz", SPEC)
    np.testing.assert_array_equal(samples.labels, LABELS)


def save_images(folder, number=2):
    folder.mkdir(parents=True)
    for index in range(number):
        Image.fromarray(np.full((4, 4), 40, "uint8")).save(
            folder / f"{index}.png"
        )


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat", "ant", "bee"], [0, 0, 1, 1, 2, 2]),
        (["2", "10"], [10, 10, 2, 2]),
        (["03", "7"], [3, 3, 7, 7]),
        (["7", "cat"], [0, 0, 1, 1]),
    ],
)
def test_a_folder_a_class(names, labels, tmp_path):
    for name in names:
        save_images(tmp_path / name)
    samples = load_samples(tmp_path, SPEC, 1 / 255)
    np.testing.assert_array_equal(samples.labels, labels)
    assert samples.inputs["image"].max() == pytest.approx(40 / 255)


@pytest.mark.parametrize("folders", [["."], ["only"], [".", "cat", "bee"]])
def test_other_folders_have_no_labels(tmp_path, folders):
    for name in folders:
        save_images(tmp_path / "images" / name) if name != "." else None
    if "." in folders:
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((4, 4), "uint8")).save(
            tmp_path / "images" / "loose.png"
        )
    assert load_samples(tmp_path / "images", SPEC).labels is None


REFUSED = {
    "labels of others": ((IMAGES, LABELS[:4]), "a label for each of the 6"),
    "half classes": ((IMAGES, LABELS + 0.5), "labels that are integers"),
    "named classes": ((IMAGES, list("abcabc")), "labels that are integers"),
    "ragged labels": ((IMAGES, [[0]] + 5 * [[0, 1]]), "the labels .* no array"),
    "weights": ([(IMAGES, LABELS, LABELS)], "tuples of 3, expected pairs"),
    "ragged rows": ({"x": [[1], [1, 2]]}, "are no array"),
    "no iterable": (7, "an iterable of these, or a path; got int"),
    "nothing": ([], "empty"),
    "ragged": ([IMAGES[0], IMAGES[0, :2]], "differ in shape"),
    "NaN": (np.full_like(IMAGES, np.nan), "NaN"),
    "text": (IMAGES.astype("str"), "expected float32"),
    "another size": (IMAGES[:, :2], "expected"),
}


@pytest.mark.parametrize(("source", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(source, message):
    with pytest.raises(RequestError, match=message):
        load_samples(source, SPEC)


def test_images_of_different_sizes_are_refused(tmp_path):
    save_images(tmp_path / "photos")
    Image.fromarray(np.zeros((5, 4), "uint8")).save(tmp_path / "photos/5.png")
    spec = TensorSpec("image", (None, None, None, 1), "float32")
    with pytest.raises(RequestError, match=r"photos differ in shape: \(4, 4"):
        load_samples(tmp_path / "photos", (spec,))


@pytest.mark.parametrize("keep", (0.5, 0.98))
def test_a_truncated_file_is_refused(keep, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=IMAGES, y=LABELS)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(RequestError, match="data.npz cannot be read"):
        load_samples(path, SPEC)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=IMAGES)
    content = bytearray(path.read_bytes())
    content[100:150] = bytes(50)
    path.write_bytes(content)
    with pytest.raises(RequestError, match="data.npz cannot be read"):
        load_samples(path, SPEC)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero_point"), [("int8", 2.0, -128), ("uint8", 2.0, 0)]
)
def test_pixels_are_real_values(dtype, scale, zero_point, tmp_path):
    pixels = np.array([[0, 40], [200, 255]], "uint8")
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    spec = TensorSpec("image", (None, 2, 2, 1), dtype, scale, zero_point)
    samples = load_samples(tmp_path / "photo.png", (spec,)).inputs["image"]
    assert samples.dtype == dtype
    np.testing.assert_allclose(
        spec.dequantize(samples)[0, ..., 0], pixels, atol=scale / 2
    )


def test_pixels_are_integers_where_the_input_takes_them(tmp_path):
    pixels = np.array([[0, 40], [200, 255]], "uint8")
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    spec = TensorSpec("image", (None, 2, 2, 1), "uint8")
    samples = load_samples(tmp_path / "photo.png", (spec,)).inputs["image"]
    np.testing.assert_array_equal(samples[0, ..., 0], pixels)
    spec = TensorSpec("image", (None, 2, 2, 1), "int8")
    with pytest.raises(RequestError, match="from 0 to 255 .* expected int8"):
        load_samples(tmp_path / "photo.png", (spec,))


def test_integer_inputs_take_real_values():
    spec = TensorSpec("image", (None, 4, 4, 1), "uint8", 1 / 255, 0)
    samples = load_samples(IMAGES, (spec,)).inputs["image"]
    assert samples.dtype == "uint8"
    np.testing.assert_allclose(
        spec.dequantize(samples), IMAGES, atol=0.5 / 255 + 1e-6
    )
    np.testing.assert_array_equal(
        load_samples(samples, (spec,)).inputs["image"], samples
    )
