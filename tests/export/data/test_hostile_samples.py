"""No file of samples crashes or floods the reader."""

import io
import tarfile
import zipfile
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from keras_inception_export.data import npz, reading
from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.errors import RequestError

SPECS = (TensorSpec("x", (None, 2), "float32"),)


def header(shape, descr="<f4", data=b""):
    content = io.BytesIO()
    facts = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, facts)
    return content.getvalue() + data


def archive(**members):
    content = io.BytesIO()
    method = members.pop("method", zipfile.ZIP_DEFLATED)
    with zipfile.ZipFile(content, "w", method) as file:
        for name, member in members.items():
            file.writestr(f"{name}.npy", member)
    return content.getvalue()


def tar_of(name, declared, size):
    """Return an archive of a member that declares one size and has another."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        member = tarfile.TarInfo(name)
        member.size = declared
        file.addfile(member)
        file.fileobj.write(bytes(size))
    return content.getvalue()


def nested_column():
    content = io.BytesIO()
    parts = [{"bytes": {"bytes": b"1"}}]
    pq.write_table(pa.table({"image": parts}), content)
    return content.getvalue()


def tar_with_two_labels():
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as file:
        for name, text in (("0.png", png((8, 8))), *2 * [("0.cls", b"1")]):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            file.addfile(member, io.BytesIO(text))
    return content.getvalue()


def png(size):
    content = io.BytesIO()
    Image.new("L", (8, 8)).save(content, "png")
    content = bytearray(content.getvalue())
    content[16:24] = b"".join(n.to_bytes(4) for n in size)
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4)
    return bytes(content)


ARRAYS = {
    "huge.npy": (header((2**40, 2)), "is declared in 0 bytes"),
    "negative.npy": (header((-1, 2), data=b"1234"), "is declared in 4 bytes"),
    "empty type.npy": (header((2**40,), "<U0"), "is declared in 0 bytes"),
    "objects.npy": (header((1,), "|O", b"12345678"), "Python objects"),
    "fields.npy": (header((2,), [("a", "<f4")], b"12345678"), "expected"),
    "nested.npy": (b"\x93NUMPY\1\0\xff\xff" + b"(" * 65535, "cannot be read"),
    "half.npy": (header((1, 2), data=b"1234567"), "in 7 bytes"),
    "labels.npz": (
        archive(x=header((1, 2), data=b"12345678"), y=b"1"),
        "magic",
    ),
    "huge.npz": (archive(x=header((2**40, 2))), "is declared in 0 bytes"),
    "bomb.npz": (archive(x=bytes(2**20)), "more than 100 times as much"),
    "bomb.tar.gz": (
        tar_of("0.png", 2**20, 2**20),
        "more than 100 times as much",
    ),
    "endless.tar.gz": (
        tar_of("a.txt", 8**99, 0),
        "more than 100 times as much",
    ),
    "nested.parquet": (nested_column(), "one column of image files"),
    "twice.npz": (archive(x=b"1", y=b"2").replace(b"y.npy", b"x.npy"), "same"),
    "labels.tar": (tar_with_two_labels(), "the archive has two of this name"),
    "bzip2.npz": (archive(x=b"1", method=zipfile.ZIP_BZIP2), "neither stored"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_hostile_arrays_are_one_line(name, tmp_path, monkeypatch):
    monkeypatch.setattr(reading.check_expansion, "__defaults__", (2**16, ""))
    content, message = ARRAYS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=message) as caught:
        load_samples(tmp_path / name, SPECS)
    assert "\n" not in str(caught.value)


def test_arrays_that_are_right(tmp_path, monkeypatch):
    """Such as zeros without compression, or an empty array."""
    monkeypatch.setattr(reading.check_expansion, "__defaults__", (2**16, ""))
    zeros = np.zeros((2**14, 2), "float32", order="F")
    np.savez(tmp_path / "x.npz", x=zeros, empty=np.empty((0, 9)), name="a")
    with zipfile.ZipFile(tmp_path / "x.npz", "a") as file:
        file.writestr("notes.txt", "of the user")
    assert set(npz.read_arrays(tmp_path / "x.npz")) == {"x", "empty", "name"}
    np.save(tmp_path / "x.npy", zeros)
    for name in ("x.npz", "x.npy"):
        assert len(load_samples(tmp_path / name, SPECS)) == 2**14


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png((2**17, 2**17)), "exceeds limit"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot ident"),
        (png((8, 8))[:40], "cannot be read"),
    ],
    ids=["bomb", "a program", "half"],
)
def test_hostile_images_are_one_line(content, message, tmp_path):
    specs = (TensorSpec("x", (None, 8, 8, 1), "float32"),)
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(RequestError, match=message):
        load_samples(tmp_path / "a.png", specs)
    (tmp_path / "a.png").write_bytes(png((8, 8)))
    assert len(load_samples(tmp_path / "a.png", specs)) == 1
