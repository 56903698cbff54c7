"""Change the content of a file at random, so that its format still holds."""

import contextlib
import io
import json
import tarfile
from xml.etree import ElementTree

import numpy as np

ODD = [
    *(None, True, "", "x" * 300, "\x1b[2J\n", "../x", "\ud800", [], {}, [[]]),
    *(0, -1, 1.5, 1e308, -1e9, 2**31, 2**63, 10**30, "1e9", "NaN"),
]


def change_json(value, rng):
    """Return JSON in which one value is removed, replaced or repeated."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.9:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(list(keys))
        value = value.copy()
        if rng.random() < 0.1:
            del value[key]
        else:
            value[key] = change_json(value[key], rng)
        return value
    return rng.choice([*ODD, [value] * 3, {"a": value}])


def change_bytes(content, rng):
    """Return content in which a few places are changed."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        at = rng.randrange(len(content) or 1)
        size = rng.choice([1, 1, 2, 4, 8, 64])
        kind = rng.randrange(5)
        if kind == 0:
            content[at : at + size] = rng.randbytes(size)
        elif kind == 1:
            content[at : at + 1] = bytes([rng.choice([0, 1, 127, 128, 255])])
        elif kind == 2:
            del content[at : at + size]
        elif kind == 3:
            other = rng.randrange(len(content) or 1)
            content[at:at] = content[other : other + size]
        elif rng.random() < 0.2:
            del content[at:]
    return bytes(content)


def change_arrays(content, rng):
    """Return a `.npz` file in which one array is changed."""
    with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
    name = rng.choice(list(arrays))
    array = arrays[name]
    if array.dtype == np.uint8 and rng.random() < 0.9:  # JSON as bytes
        index = change_json(json.loads(array.tobytes()), rng)
        arrays[name] = np.frombuffer(json.dumps(index).encode(), np.uint8)
    else:
        number = array.dtype.kind in "iuf"
        arrays[name] = rng.choice(
            [
                lambda: array[:0],
                lambda: array[None],
                lambda: array.ravel(),
                lambda: array.astype("f2" if number else "S3"),
                lambda: array * np.nan if number else array[::-1],
                lambda: array * 0 if number else array.astype("S1"),
                lambda: array * 1e9 if number else array.reshape(-1, 1),
                lambda: np.array(3),
                lambda: np.zeros((3, 2), [("a", "f4"), ("b", "S2")]),
            ]
        )()
    if rng.random() < 0.2:
        other = rng.choice(["feeds/99/x", "x", "feeds/-1/image", "a/b/c"])
        arrays[other] = arrays.pop(name)
    target = io.BytesIO()
    np.savez(target, **arrays)
    return target.getvalue()


def change_tar(content, rng):
    """Return a tar archive in which the header of one file is changed."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        files = [(x, archive.extractfile(x).read()) for x in archive]
    kinds = [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
    kinds += [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.GNUTYPE_SPARSE, b"~"]
    info, part = rng.choice(files)
    name = rng.choice(["", "../x.png", "/x.png", "\x1b[2J\n.png", "\udcff.png"])
    size = rng.choice([0, 1, 2**28, 2**33])
    header = rng.choice(
        [
            {"type": rng.choice(kinds), "linkname": files[0][0].name},
            {"name": rng.choice([name, "x" * 5000 + ".png", ".a.png"])},
            {"size": size},
            {"pax_headers": {"size": rng.choice(["x", "-1", "9" * 99])}},
            {"pax_headers": {"path": name or "x", "mtime": "nan"}},
            {"pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.map": "x"}},
        ]
    )
    for key, value in header.items():
        setattr(info, key, value)
    target = io.BytesIO()
    mode = rng.choice(["w", "w", "w:gz", "w:bz2", "w:xz"])
    with tarfile.open(fileobj=target, mode=mode) as archive:
        for member, data in files:
            archive.addfile(member)  # whatever size the header has
            archive.fileobj.write(data + bytes(-len(data) % 512))
    return target.getvalue()


def change_parquet(content, rng):
    """Return a Parquet file in which one column is changed."""
    import pyarrow as pa
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(io.BytesIO(content))
    names = table.column_names
    at = rng.randrange(len(names))
    rows, values = len(table), table.column(at).to_pylist()
    parts = [{"bytes": x, "path": None} for x in values]
    column = rng.choice(
        [
            lambda: pa.nulls(rows),
            lambda: pa.array([None, *values[1:]]),
            lambda: pa.array([values] * rows),
            lambda: pa.array(parts),
            lambda: pa.array([{"bytes": x} for x in parts]),
            lambda: pa.array([2**62, *range(rows - 1)]),
            lambda: pa.array([float("nan")] * rows),
            lambda: pa.array(["\x1b[2J\n"] * rows),
            lambda: pa.array([b"\xff" * 9] * rows),
            lambda: table.column(at).dictionary_encode(),
            lambda: pa.array(values).view(pa.binary()),
        ]
    )
    with contextlib.suppress(pa.ArrowException):
        table = table.set_column(at, names[at], column())
    if rng.random() < 0.3:
        table = table.rename_columns(
            [rng.choice(["image", "label", "x", "a.b", ""]) for _ in names]
        )
    if rng.random() < 0.5:
        facts = {"names": ["a", "b"], "_type": "ClassLabel"}
        facts = {"info": {"features": {"label": facts}}}
        text = json.dumps(change_json(facts, rng))
        table = table.replace_schema_metadata({"huggingface": text})
    target = io.BytesIO()
    kind = rng.choice(["none", "snappy", "gzip", "zstd", "brotli", "lz4"])
    pyarrow.parquet.write_table(table, target, compression=kind)
    return target.getvalue()


def change_xml(content, rng):
    """Return XML in which one element or attribute is changed."""
    root = ElementTree.fromstring(content)
    parent = rng.choice([x for x in root.iter() if len(x)])
    child = rng.choice(list(parent))
    kind = rng.randrange(8)
    if kind == 0:
        parent.remove(child)
    elif kind == 1:
        parent.append(child)
    elif kind == 2:
        child.tag = rng.choice(["x", "layer", "edge", "port", "dim"])
    elif child.attrib and kind < 7:
        odd = ["", "-1", "0", "2", "x", "99999999999999999999", "1,2", "f16"]
        child.set(rng.choice(list(child.attrib)), rng.choice(odd))
    else:
        child.text = rng.choice(["", "-1", "99999999999", "x" * 999])
    return ElementTree.tostring(root)


def change_message(message, rng):
    """Change one field of a protobuf message, however deep."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = rng.choice(fields)
    if field.type == field.TYPE_MESSAGE:
        if hasattr(value, "keys"):
            key = rng.choice(sorted(value))
            if rng.random() < 0.1:
                del value[key]
            elif hasattr(value[key], "ListFields"):
                change_message(value[key], rng)
        elif field.is_repeated:
            kind = rng.random()
            if kind < 0.1:
                value.add().CopyFrom(rng.choice(value))
            elif kind < 0.2:
                del value[rng.randrange(len(value))]
            else:
                change_message(rng.choice(value), rng)
        else:
            change_message(value, rng)
        return
    if field.is_repeated and rng.random() < 0.3:
        value.append(rng.choice(value))
        return
    odd = {
        field.CPPTYPE_STRING: (
            [b"", b"x", b"\xff" * 9]
            if field.type == field.TYPE_BYTES
            else ["", "x", "../x", "\x1b[2J\n", "Loop"]
        ),
        field.CPPTYPE_FLOAT: [0.0, -1.0, 1e30, float("nan")],
    }.get(field.cpp_type, [0, 1, 2, 7, 8, 127, 2**31 - 1])
    if field.is_repeated:
        value[rng.randrange(len(value))] = rng.choice(odd)
    else:
        setattr(message, field.name, rng.choice(odd))


def change_onnx(content, rng):
    """Return an ONNX file in which one field is changed."""
    import onnx

    return changed_message(onnx.ModelProto.FromString(content), rng)


def change_saved_model(content, rng):
    """Return the program of a SavedModel in which one field is changed."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    return changed_message(SavedModel.FromString(content), rng)


def changed_message(message, rng):
    """Return the bytes of a protobuf message once one field is changed."""
    change_message(message, rng)
    return message.SerializeToString()


def some_bytes(change):
    """Return a change that is `change`, or now and then one of bytes."""
    return lambda content, rng: (
        change_bytes(content, rng)
        if rng.random() < 0.3
        else change(content, rng)
    )


def change_report(content, rng):
    """Return a report in which one value is changed."""
    return json.dumps(change_json(json.loads(content), rng)).encode()
