"""Samples and labels, from every kind of source."""

import io
import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from keras_inception_export.data.batching import run
from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError
from tests.helpers.brightness import png, write_tar

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
    "endless classes": ((IMAGES, [np.inf] * 6), "labels that are integers"),
    "scores": ((IMAGES, np.full((6, 2), np.nan)), "labels that are integers"),
    "huge classes": ((IMAGES, [2**64 - 1] * 6), "labels that are integers"),
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
        ({"a": np.ones((2, 4))}, 'the arrays "a", but'),
    ],
)
def test_several_inputs_need_an_array_each(source, message):
    with pytest.raises(RequestError, match=message):
        load_samples(source, PAIR)


def test_quantized_inputs_take_real_values_and_integers():
    spec = TensorSpec("image", (None, 4, 4, 1), "uint8", 1 / 255, 0)
    samples = load_samples(IMAGES, (spec,)).inputs["image"]
    assert samples.dtype == "uint8"
    np.testing.assert_allclose(
        spec.dequantize(samples), IMAGES, atol=0.5 / 255 + 1e-6
    )
    again = load_samples(samples, (spec,)).inputs["image"]
    np.testing.assert_array_equal(again, samples)


VALUES = (7, 200, 33, 90)
NAMES = ("b", "a", "b", "c")
PNGS = [png(value) for value in VALUES]
HUGGING_FACE = json.dumps(
    {"info": {"features": {"label": {"names": ["dog", "cat", "owl"]}}}}
)


def write_table(path, **columns):
    table = pa.table({"photo": PNGS, **columns})
    if path.stem == "hf":
        table = table.replace_schema_metadata({"huggingface": HUGGING_FACE})
    pq.write_table(table, path, row_group_size=3)


def write_shard(path, labels, suffix, rows=slice(None)):
    """Write a webdataset; a label may be before or after its image."""
    members = {}
    numbers = range(len(VALUES))[rows]
    for number in numbers:
        members[f"d/{number}.seg.png"] = PNGS[number]
        members[f"d/{number}.{suffix}"] = labels[number].encode()
    names = reversed(members) if suffix == "json" else members
    write_tar(path, {name: members[name] for name in names})
    return VALUES[rows]


def write_files(folder):
    """Write four images, in every kind of file."""
    for number, name in enumerate(NAMES):
        path = folder / "photos" / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNGS[number])
    write_table(folder / "names.parquet", label=NAMES)
    write_table(folder / "numbers.parquet", n=[0] * 4, cls=[2, 0, 1, 1])
    write_table(folder / "hf.parquet", label=[2, 0, 1, 1])
    write_table(folder / "none.parquet", n=[0] * 4)
    write_table(folder / "null.parquet", label=[*NAMES[:3], None])
    write_table(folder / "mixed.parquet", label=pa.array([0.5, 1, 2, 3]))
    for number in range(2):
        rows = slice(2 * number, 2 * number + 2)
        write_shard(folder / f"s-{number}.tar", "2011", "cls", rows)
    jsons = [json.dumps({"label": name, "text": "x"}) for name in NAMES]
    write_shard(folder / "json.tar", jsons, "json")
    write_shard(folder / "plain.tar", NAMES, "txt")
    write_shard(folder / "bad.tar", ["{"] * 4, "json")
    write_tar(folder / "damaged.tar", {"0.png": PNGS[0], "1.png": b"no"})
    write_tar(folder / "empty.tar", {"0.cls": b"1"})
    pixels = np.array(VALUES, "float32").reshape(-1, 1, 1, 1)
    pixels = np.tile(pixels, (1, 4, 4, 1))
    for number in range(2):
        part = slice(2 * number, 2 * number + 2)
        y = np.array([2, 0, 1, 1])[part]
        np.savez(folder / f"x-{number}.npz", x=pixels[part], y=y)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


SORTED = [1, 0, 2, 3]  # the rows in the order of their folders
FILES = {
    "photos": ([0, 1, 1, 2], "abc"),
    "photos/*/*.png": (None, None),
    "names.parquet": ([1, 0, 1, 2], "abc"),
    "numbers.parquet": ([2, 0, 1, 1], None),
    "hf.parquet": ([2, 0, 1, 1], ("dog", "cat", "owl")),
    "none.parquet": (None, None),
    "s-*.tar": ([2, 0, 1, 1], None),
    "json.tar": ([2, 1, 0, 1], "abc"),
    "plain.tar": (None, None),
    "x-?.npz": ([2, 0, 1, 1], None),
}


@pytest.mark.parametrize("name", FILES)
def test_what_predict_reads(name, files):
    """The images and labels are also those of `Sources`, and of a list."""
    labels, classes = FILES[name]
    samples = load_samples(str(files / name), SPEC)
    values = np.array(VALUES)
    if name.startswith("photos"):
        values = values[SORTED]
    if name == "json.tar":
        values = values[::-1]
    found = np.asarray(samples.inputs["image"])
    np.testing.assert_array_equal(found[:, 0, 0, 0], values)
    np.testing.assert_array_equal(samples.labels, labels)
    assert samples.classes == (classes and tuple(classes))
    last = samples.take([3])
    np.testing.assert_array_equal(last.inputs["image"][:], found[3:])
    paths = [files / name] if "*" not in name else sorted(files.glob(name))
    if "?" not in name:
        again = load_samples(iter(paths), SPEC).inputs["image"]
        np.testing.assert_array_equal(again, found)


def test_images_of_pillow(files):
    images = [Image.open(io.BytesIO(content)) for content in PNGS]
    found = load_samples(iter(images), SPEC).inputs["image"]
    np.testing.assert_array_equal(found[:][:, 0, 0, 0], VALUES)


REFUSED_FILES = {
    "null.parquet": "null.parquet: 1 of 4 samples have no label",
    "mixed.parquet": "labels that are integers",
    "bad.tar": "bad.tar/d/3.json cannot be read",
    "damaged.tar": "damaged.tar/1.png cannot be read",
    "empty.tar": "empty.tar contains no images",
    "*.gif": "matches no file",
    "[sx]-0.*": "contains arrays and images",
}


@pytest.mark.parametrize("name", REFUSED_FILES)
def test_unsuitable_files_are_refused(name, files):
    with pytest.raises(RequestError, match=REFUSED_FILES[name]) as caught:
        load_samples(files / name, SPEC)
    assert "\n" not in str(caught.value)


def written(kind, folder):
    """Return samples that are in a file, or not anywhere, and their values."""
    values = np.arange(200, dtype="uint8")
    images = [png(value, (64, 64)) for value in values]
    if kind == "images":
        for value, image in zip(values, images, strict=True):
            (folder / f"{value:03}.png").write_bytes(image)
        return folder, values
    if kind == "tar":
        members = {f"{i:03}.png": image for i, image in enumerate(images)}
        write_tar(folder / "x.tar", members)
        return folder / "x.tar", values
    if kind == "parquet":
        pq.write_table(pa.table({"image": images}), folder / "x.parquet")
        return folder / "x.parquet", values
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


KINDS = ["images", "tar", "parquet", "npy", "npz", "npz compressed", "batches"]


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


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-30],
        lambda content: content[:100] + bytes(50) + content[150:],
    ],
    ids=["half", "the end", "zeros"],
)
def test_a_damaged_file_is_refused(change, tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=IMAGES, y=LABELS)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(RequestError, match=r"data.npz cannot be read"):
        load_samples(path, SPEC)
