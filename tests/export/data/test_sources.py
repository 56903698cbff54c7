"""Every kind of input as a stream of items."""

import functools
import io
import os
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from keras_inception_export.data.sources import Sources
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import ExportError, RequestError
from tests.helpers.brightness import png, write_images, write_tar

SPEC = (TensorSpec("image", (None, 4, 4, 1), "float32"),)
PAIR = tuple(TensorSpec(name, (None, 4), "float32") for name in "ab")
ROWS = np.random.default_rng(0).random((5, 4, 4, 1), dtype="float32")


def names(inputs, specs=SPEC):
    return [item.name for item in Sources(inputs, specs)]


@pytest.fixture
def folder(tmp_path):
    """A folder with images, and with what is not one of them."""
    root = tmp_path / "in"
    write_images(root, 3)
    (root / "a" / "notes.txt").write_text("no image")
    (root / ".hidden.png").write_bytes(png(0))
    (root / ".cache").mkdir()
    (root / ".cache" / "x.png").write_bytes(png(0))
    (root / "looks_like.png").mkdir()
    (root / "A.JPG").write_bytes(png(0))
    (root / "line\n.png").write_bytes(png(0))
    os.symlink("/nowhere", root / "broken.png")
    return root


def test_images_of_a_folder_are_sorted_by_folder(folder):
    expected = ["A.JPG", "a/000.png", "a/002.png", "b/001.png", "broken.png"]
    expected.append(r"line\n.png")
    assert names(folder) == [f"{folder}/{name}" for name in expected]
    assert Sources([folder, folder / "A.JPG"], SPEC).count() == 7
    assert Sources(str(folder), SPEC).images is True


def test_links_to_folders_are_followed_but_not_in_circles(folder):
    (folder / "c").mkdir()
    (folder / "c" / "b").symlink_to(folder / "b")
    (folder / "c" / "up").symlink_to(folder)
    (folder / "c" / "here").symlink_to(".")
    (folder / "c" / "loop.png").symlink_to("loop.png")
    assert names(folder / "c") == [
        f"{folder}/c/b/001.png",
        f"{folder}/c/loop.png",
        *(f"{folder}/c/up/{name}" for name in ("A.JPG", "a/000.png")),
        *(f"{folder}/c/up/{name}" for name in ("a/002.png", "b/001.png")),
        *(f"{folder}/c/up/{name}" for name in ("broken.png", r"line\n.png")),
    ]


def test_a_pattern_for_everything_yields_each_image_once(folder):
    (folder / "a" / "notes.txt").unlink()
    assert names(f"{folder}/[ab]/**") == [
        *(f"{folder}/a/{name}.png" for name in ("000", "002")),
        f"{folder}/b/001.png",
    ]


def test_patterns(folder):
    assert names(f"{folder}/**/00[01].png") == [
        f"{folder}/a/000.png",
        f"{folder}/b/001.png",
    ]
    literal = folder / "x[1].png"
    literal.write_bytes(png(3))
    assert names(str(literal)) == [str(literal)]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_images_in_a_tar(mode, tmp_path):
    path = tmp_path / ("x.tar" if mode == "w" else "x.tar.gz")
    members = {
        "0.png": png(1),
        "0.cls": b"3",
        "d/1.JPG": png(2),
        "d/._1.JPG": b"of macOS",
        "./.cache/2.png": png(3),
        "link.png": (tarfile.SYMTYPE, "/etc/passwd"),
        "hard.png": (tarfile.LNKTYPE, "0.png"),
        "pipe.png": (tarfile.FIFOTYPE, ""),
    }
    write_tar(path, members, mode)
    found = list(Sources(path, SPEC))
    assert [x.name for x in found] == [f"{path}/0.png", f"{path}/d/1.JPG"]
    assert [x.content for x in found] == [png(1), png(2)]
    assert Sources(path, SPEC).count() is None
    assert os.listdir(tmp_path) == [path.name]


def test_a_member_that_claims_to_be_huge(tmp_path):
    content = bytearray(tarfile.TarInfo("x.png").tobuf() + bytes(1024))
    info = tarfile.TarInfo("x.png")
    info.size = 2**30
    content[:512] = info.tobuf()
    (tmp_path / "x.tar").write_bytes(content)
    (item, *_) = Sources(tmp_path / "x.tar", SPEC)
    assert "no image is so large" in str(item.content)


IMAGES = [png(1), None, png(2)]
STRUCTURES = [{"bytes": x, "path": "/etc/passwd"} for x in IMAGES]
TABLES = {
    "bytes": {"label": [1, 2, 3], "photo": IMAGES},
    "large bytes": {"photo": pa.array(IMAGES, pa.large_binary())},
    "structures": {"photo": STRUCTURES},
    "the one named image": {"mask": IMAGES[::-1], "image": IMAGES},
}


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_images_in_a_parquet_file(table, tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table(table), path, row_group_size=2)
    found = list(Sources(path, SPEC))
    assert [x.name for x in found] == [f"{path}[{i}]" for i in range(3)]
    contents = [x.content for x in found]
    assert contents[::2] == IMAGES[::2]
    assert "has no image" in str(contents[1])
    assert Sources(path, SPEC).count() == 3


@pytest.mark.parametrize(
    "save", [np.save, lambda p, x: np.save(p, np.asfortranarray(x))]
)
def test_rows_of_npy(save, tmp_path):
    save(tmp_path / "x.npy", ROWS)
    found = list(Sources(tmp_path / "x.npy", SPEC))
    assert found[4].name == f"{tmp_path}/x.npy[4]"
    arrays = np.stack([item.content["image"] for item in found])
    np.testing.assert_array_equal(arrays, ROWS)
    assert Sources(tmp_path / "x.npy", SPEC).images is False


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_rows_of_npz(save, tmp_path):
    pair = {"b": ROWS[:, 0, :, 0], "a": ROWS[:, 1, :, 0], "y": [0]}
    save(tmp_path / "x.npz", **pair)
    found = list(Sources(tmp_path / "x.npz", PAIR))
    for name in "ab":
        arrays = np.stack([item.content[name] for item in found])
        np.testing.assert_array_equal(arrays, pair[name])
    save(tmp_path / "x.npz", x=ROWS[:1])
    assert names(tmp_path / "x.npz") == [f"{tmp_path}/x.npz"]


def test_values_from_python():
    image = Image.new("L", (4, 4))
    values = [ROWS, ROWS[0], {"image": ROWS[:1]}, image]
    expected = [*(f"array[{i}]" for i in range(5)), "array", "array", "image"]
    assert names(values) == names(iter(values)) == expected
    assert names(ROWS) == expected[:5]
    assert Sources(iter(values), SPEC).count() is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"PNG", "has the type bytes; expected a path"),
        (io.BytesIO(), "has the type BytesIO; expected a path"),
        ([[1], [1, 2]], "cannot become one array"),
        (ROWS[:, :3], r"has an array of shape \(5, 3, 4, 1\)"),
    ],
    ids=["bytes", "file", "ragged", "size"],
)
def test_unsuitable_values(value, message):
    with pytest.raises(RequestError, match=f"the input {message}"):
        Sources([value], SPEC)


def write_refused(path):
    """Write files that cannot be used."""
    np.save(path / "size.npy", ROWS[:, :2])
    np.save(path / "empty.npy", ROWS[:0])
    np.savez(path / "other.npz", photo=ROWS)
    np.savez(path / "uneven.npz", a=ROWS[:, 0, :, 0], b=ROWS[:2, 0, :, 0])
    np.save(path / "whole.npy", ROWS)
    for name in ("text.npy", "text.npz", "text.tar", "text.parquet", "x.txt"):
        (path / name).write_text("dear diary")
    pq.write_table(pa.table({"n": [1]}), path / "none.parquet")
    two = {"p": [b""], "q": [b""]}
    pq.write_table(pa.table(two), path / "two.parquet")
    (path / "nothing").mkdir()
    os.mkfifo(path / "pipe.png")


REFUSED = {
    "none.png": "does not exist",
    "*.gif": "matches no file",
    "x.txt": "is not a recognised input",
    "nothing": "contains no images",
    "pipe.png": "expected a regular file",
    "size.npy": r"\(5, 2, 4, 1\) for \"image\", expected \(samples, 4, 4, 1\)",
    "empty.npy": "expected",
    "other.npz": 'the arrays "photo", but the model has the inputs "image"',
    "text.npy": "cannot be read",
    "text.npz": "cannot be read",
    "text.tar": "cannot be read",
    "text.parquet": "cannot be read",
    "none.parquet": "has the columns n; expected one column",
    "two.parquet": "has the columns p, q; expected one column",
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    path = tmp_path_factory.mktemp("refused")
    write_refused(path)
    return path


@pytest.mark.parametrize("name", REFUSED)
def test_unsuitable_inputs_are_refused_before_any_is_read(name, refused):
    with pytest.raises(RequestError, match=REFUSED[name]) as caught:
        Sources([refused / "whole.npy", refused / name], SPEC)
    assert "\n" not in str(caught.value)
    with pytest.raises(RequestError, match="same number of samples"):
        Sources(refused / "uneven.npz", PAIR)


def damaged_tar(path, *, end=4096, change=0):
    write_tar(path, {f"{i}.png": png(i) for i in range(4)})
    content = bytearray(path.read_bytes()[:end])
    content[2048] += change  # in the header of the third image
    path.write_bytes(content)


def damaged_npz(path):
    np.savez_compressed(path, x=np.repeat(ROWS, 400, axis=0))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    path.write_bytes(content)


def damaged_parquet(path):
    table = pa.table({"image": [bytes([i]) * 99 for i in range(64)]})
    pq.write_table(table, path, row_group_size=32, compression="none")
    content = bytearray(path.read_bytes())
    middle = content.index(bytes([32]) * 99)
    content[middle - 40 : middle] = b"\xff" * 40
    path.write_bytes(content)


DAMAGED = {
    "ends.tar": damaged_tar,
    "header.tar": functools.partial(damaged_tar, end=2300),
    "image.tar": functools.partial(damaged_tar, end=2600),
    "sum.tar": functools.partial(damaged_tar, end=None, change=1),
    "x.npz": damaged_npz,
    "x.parquet": damaged_parquet,
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_ends_in_an_error_and_the_next_is_read(name, tmp_path):
    DAMAGED[name](tmp_path / name)
    np.save(tmp_path / "next.npy", ROWS[:1])
    found = list(Sources([tmp_path / name, tmp_path / "next.npy"], SPEC))
    assert len(found) > 2 and found[-1].name.endswith("next.npy")
    errors = [x for x in found if isinstance(x.content, ExportError)]
    assert errors == [found[-2]]
    assert f"{name} cannot be read any further" in str(errors[0].content)
