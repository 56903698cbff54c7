"""Change the content of a file at random, so that its format still holds."""

import io
import json
import zipfile

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


def change_archive(content, rng):
    """Return a `.keras` file in which one file is changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(files))
    if name.endswith(".json") and rng.random() < 0.8:
        text = json.dumps(change_json(json.loads(files[name]), rng))
        files[name] = text.encode()
    else:
        files[name] = change_bytes(files[name], rng)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, part in files.items():
            archive.writestr(name, part)
    return target.getvalue()


def change_message(message, rng):
    """Change one field of a protobuf message, however deep."""
    fields = message.ListFields()
    if not fields:
        return
    field, value = rng.choice(fields)
    if field.type == field.TYPE_MESSAGE:
        if field.is_repeated:
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

    model = onnx.ModelProto.FromString(content)
    change_message(model, rng)
    return model.SerializeToString()


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
