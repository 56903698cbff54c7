"""Change the file of a Keras model, so that its format still holds."""

import io
import json
import warnings
import zipfile

import h5py
import numpy as np
from file_changes import change_bytes, change_json


def change_h5(content, rng):
    """Return an HDF5 file in which one object or attribute is changed."""
    target = io.BytesIO(content)
    with h5py.File(target, "r+") as file:
        names = []
        file.visit(names.append)
        items = [file, *(file[name] for name in names)]
        attributes = [(x, key) for x in items for key in x.attrs]
        if attributes and rng.random() < 0.4:
            item, key = rng.choice(attributes)
            change_attribute(item.attrs, key, rng)
        elif names:
            change_object(file, rng.choice(names), rng)
    return target.getvalue()


def change_attribute(attributes, key, rng):
    """Change one attribute, which may be JSON."""
    try:
        value = json.dumps(change_json(json.loads(attributes[key]), rng))
    except (TypeError, ValueError):
        value = rng.choice([0, -1, "", "x", [b"x"] * 3, np.zeros((2, 0)), "é"])
    attributes[key] = value


def change_object(file, name, rng):
    """Replace an object of an HDF5 file by another, under the same name."""
    old = file[name]
    shape = getattr(old, "shape", ())
    del file[name]
    huge = {"chunks": True, "compression": "gzip"}
    rng.choice(
        [
            lambda: None,
            lambda: file.__setitem__(name, h5py.SoftLink("/")),
            lambda: file.__setitem__(name, h5py.ExternalLink("/etc/x", "/")),
            lambda: file.__setitem__(name, file["/"]),  # a cycle
            lambda: file.create_group(name),
            lambda: file.create_dataset(name, data=b"text"),
            lambda: file.create_dataset(name, (*shape, 2), "f4"),
            lambda: file.create_dataset(name, shape, "S3"),
            lambda: file.create_dataset(name, shape, "f8"),
            lambda: file.create_dataset(name, shape, [("a", "f4")]),
            lambda: file.create_dataset(name, shape, h5py.ref_dtype),
            lambda: file.create_dataset(name, shape, h5py.string_dtype()),
            lambda: file.create_dataset(name, data=h5py.Empty("f4")),
            lambda: file.create_dataset(name, (10**12,), "f4", **huge),
            lambda: file.create_dataset(name, (2**17, 2**13), "f4", **huge),
        ]
    )()


def zip_of(files, rng):
    """Return an archive of files, now and then one made with a trick."""
    target, odd = io.BytesIO(), rng.choice(list(files))
    trick = rng.choice([None] * 6 + list(range(9)))
    if trick == 0:  # sizes come after the contents
        target.seekable = lambda: False
    names = {}
    if trick == 1:
        other = ["/tmp/x", "../x", "x" * 999, "a\\b", odd.upper(), f"{odd}/"]
        names[odd] = rng.choice(other)
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(target, "w") as archive,
    ):
        for name, part in files.items():
            info = zipfile.ZipInfo(names.get(name, name))
            if trick == 2:
                info.compress_type = rng.choice([8, 12, 14])
            if name == odd and trick == 3:
                info.external_attr, part = 0o120777 << 16, b"/etc/passwd"
            archive.writestr(info, part)
            if name == odd and trick == 4:
                archive.writestr(info, change_bytes(part, rng))
        if trick == 5:
            archive.writestr("x", bytes(4 * 10**8), zipfile.ZIP_DEFLATED)
    content = bytearray(target.getvalue())
    if trick in (6, 7):  # an encrypted file, a wrong size
        entry = content.index(b"PK\1\2")
        place, value = {6: (8, b"\1\0"), 7: (24, rng.randbytes(4))}[trick]
        content[entry + place : entry + place + len(value)] = value
    return b"#!/bin/sh\n" * (trick == 8) + bytes(content)


def change_archive(content, rng):
    """Return a `.keras` file in which one file is changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(files))
    if name.endswith(".json") and rng.random() < 0.8:
        text = json.dumps(change_json(json.loads(files[name]), rng))
        files[name] = text.encode()
    elif name.endswith(".h5") and rng.random() < 0.8:
        files[name] = change_h5(files[name], rng)
    else:
        files[name] = change_bytes(files[name], rng)
    return zip_of(files, rng)
