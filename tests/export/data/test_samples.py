"""Samples and labels, from every kind of source."""

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from keras_inception_export.data.batching import run
from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

SPEC = (TensorSpec("image", (None, 4, 4, 1), "float32"),)
PAIR = tuple(TensorSpec(name, (None, 4), "float32") for name in "ab")
IMAGES = np.random.default_rng(0).random((6, 4, 4, 1), dtype="float32")
LABELS = np.array([2, 0, 1, 1, 0, 2])


class Tensor:
    """What a framework's tensor shows of itself, as `tf.data` yields it."""

    def __init__(self, value):
        self._value = value

    def __array__(self, dtype=None, copy=None):
        return np.array(self._value, dtype)


class Dataset:
    """Iterable, more than once, without a length, as `tf.data.Dataset` is."""

    def __init__(self, *batches):
        self._batches = batches

    def __iter__(self):
        return iter(self._batches)


LABELLED = {
    "a pair": (IMAGES, LABELS),
    "a dictionary": {"x": IMAGES, "y": LABELS},
    "by input name": {"image": IMAGES, "y": LABELS},
    "one-hot labels": (IMAGES, np.eye(3)[LABELS]),
    "a column of labels": (IMAGES, LABELS[:, None]),
    "batches": ((IMAGES[i : i + 4], LABELS[i : i + 4]) for i in (0, 4)),
    "single samples": zip(IMAGES, LABELS, strict=True),
    "a list of dictionaries": [{"x": IMAGES, "y": LABELS}],
    "a dataset": Dataset((Tensor(IMAGES), Tensor(LABELS))),
}


@pytest.mark.parametrize("source", LABELLED.values(), ids=LABELLED)
def test_labels_are_read_with_the_samples(source):
    samples = load_samples(source, SPEC)
    np.testing.assert_array_equal(samples.inputs["image"], IMAGES)
    np.testing.assert_array_equal(samples.labels, LABELS)
    part = samples.take(slice(2, 4))
    assert len(part) == 2
    np.testing.assert_array_equal(part.labels, [1, 1])


UNLABELLED = {
    "an array": IMAGES,
    "a tensor": Tensor(IMAGES),
    "nested lists": IMAGES.tolist(),
    "a dictionary": {"image": IMAGES},
    "a dataset": Dataset(Tensor(IMAGES[:5]), Tensor(IMAGES[5:])),
    "a generator": (image for image in IMAGES),
}


@pytest.mark.parametrize("source", UNLABELLED.values(), ids=UNLABELLED)
def test_samples_need_no_labels(source):
    samples = load_samples(source, SPEC)
    np.testing.assert_allclose(samples.inputs["image"], IMAGES, rtol=1e-6)
    assert samples.labels is None


def test_an_input_named_y_is_not_the_labels():
    spec = (TensorSpec("y", (None, 4), "float32"),)
    samples = load_samples({"y": np.ones((2, 4))}, spec)
    assert samples.labels is None and samples.inputs["y"].shape == (2, 4)


REFUSED = {
    "too few labels": ((IMAGES, LABELS[:4]), "one label for each of the 6"),
    "half classes": ((IMAGES, LABELS + 0.5), "labels that are integers"),
    "named classes": ((IMAGES, list("abcabc")), "labels that are integers"),
    "ragged labels": ((IMAGES, [[0]] + 5 * [[0, 1]]), "the labels .* cannot"),
    "weights": ([(IMAGES, LABELS, LABELS)], "tuples of 3, expected pairs"),
    "ragged rows": ({"x": [[1], [1, 2]]}, "cannot become one array"),
    "not iterable": (7, "an iterable of these, or a path; got int"),
    "nothing": ([], "empty"),
    "ragged": ([IMAGES[0], IMAGES[0, :2]], "differ in shape"),
    "NaN": (np.full_like(IMAGES, np.nan), "NaN"),
    "infinity": (np.full_like(IMAGES, np.inf), "infinite"),
    "text": (IMAGES.astype("str"), "expected float32"),
    "another size": (IMAGES[:, :2], r"expected \(samples, 4, 4, 1\)"),
    "no samples": (IMAGES[:0], r"expected \(samples, 4, 4, 1\)"),
    "another name": ({"photo": IMAGES}, 'arrays "photo", but .* "image"'),
}


@pytest.mark.parametrize(("source", "message"), REFUSED.values(), ids=REFUSED)
def test_unsuitable_samples_are_refused(source, message):
    with pytest.raises(RequestError, match=message):
        load_samples(source, SPEC)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (np.ones((2, 4)), 'one array, but .* inputs "a", "b"'),
        (
            {"a": np.ones((2, 4)), "b": np.ones((3, 4))},
            "same number of samples",
        ),
        ({"a": np.ones((2, 4))}, 'the arrays "a", but'),
    ],
)
def test_several_inputs_need_an_array_each(source, message):
    with pytest.raises(RequestError, match=message):
        load_samples(source, PAIR)


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


@pytest.mark.parametrize(
    ("name", "save"), [("x.npz", np.savez), ("x.npz", np.savez_compressed)]
)
def test_npz_file(name, save, tmp_path):
    save(tmp_path / name, x=IMAGES, y=LABELS)
    samples = load_samples(tmp_path / name, SPEC)
    np.testing.assert_array_equal(samples.inputs["image"], IMAGES)
    np.testing.assert_array_equal(samples.labels, LABELS)


def written(kind, folder):
    """Return samples that are in a file, or not anywhere, and their values."""
    values = np.arange(200, dtype="uint8")
    if kind == "images":
        for value in values:
            image = Image.new("L", (64, 64), int(value))
            image.save(folder / f"{value:03}.png")
        return folder, values
    images = np.full((200, 64, 64, 1), values.reshape(-1, 1, 1, 1), "float32")
    if kind == "batches":
        return np.split(images, 20), values
    path = folder / f"x.{kind[:3]}"
    if kind == "npy":
        np.save(path, images)
    else:
        save = np.savez if kind == "npz" else np.savez_compressed
        save(path, x=images)
    return path, values


KINDS = ["images", "npy", "npz", "npz compressed", "batches"]


@pytest.mark.parametrize("kind", KINDS)
def test_only_some_samples_are_in_memory(kind, tmp_path):
    specs = (TensorSpec("image", (None, 64, 64, 1), "float32"),)
    source, values = written(kind, tmp_path)
    rows = np.random.default_rng(0).permutation(len(values))[:150]
    Image.init()
    tracemalloc.start()
    samples = load_samples(source, specs).take(rows)
    means = [
        run(lambda x: {"y": x["image"].mean((1, 2, 3))}, samples.inputs)["y"]
        for _ in range(2)
    ]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(means, 2 * [values[rows]])
    assert peak < 1.2e6, "of 3.3 MB, of which 0.3 MB are read together"


@pytest.mark.parametrize("keep", (0.5, 0.98))
def test_a_truncated_file_is_refused(keep, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=IMAGES, y=LABELS)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(RequestError, match=r"data.npz cannot be read"):
        load_samples(path, SPEC)


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=IMAGES)
    content = bytearray(path.read_bytes())
    content[100:150] = bytes(50)
    path.write_bytes(content)
    with pytest.raises(RequestError, match=r"data.npz cannot be read"):
        load_samples(path, SPEC)
