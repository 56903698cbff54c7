"""Samples and labels, from everything a user may hold."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_inception_export.errors import RequestError
from keras_inception_export.samples import load_samples
from keras_inception_export.signature import TensorSpec

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


def test_a_folder_a_class(tmp_path):
    for name in ("cat", "ant", "bee"):
        save_images(tmp_path / name)
    samples = load_samples(tmp_path, SPEC, 1 / 255)
    np.testing.assert_array_equal(samples.labels, [0, 0, 1, 1, 2, 2])
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
