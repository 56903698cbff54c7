"""What `info` says of a bundle and of a `.keras` file, without a framework."""

import json
import zipfile

import pytest

from keras_inception_export.bundle import bundle
from keras_inception_export.bundle.info import describe
from keras_inception_export.errors import RequestError
from tests.helpers.reports import make_report

CONFIG = {
    "class_name": "Functional",
    "config": {
        "name": "small",
        "layers": [
            {
                "class_name": "InputLayer",
                "config": {
                    "name": "image",
                    "batch_shape": [None, 8, 8, 1],
                    "dtype": "float32",
                },
            },
            {"class_name": "Flatten", "config": {"name": "flatten"}},
        ],
    },
}
METADATA = {"keras_version": "3.13.0", "date_saved": "2026-01-01@00:00:00"}


def save(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.json", json.dumps(content))
    return path


def test_a_keras_file(tmp_path):
    path = save(tmp_path / "a.keras", config=CONFIG, metadata=METADATA)
    shape = [None, 8, 8, 1]
    assert describe(path) == {
        "path": str(path),
        "kind": "keras",
        "name": "small",
        "class": "Functional",
        "bytes": path.stat().st_size,
        "layers": 2,
        "inputs": [{"name": "image", "shape": shape, "dtype": "float32"}],
        **METADATA,
    }


def test_a_bundle(tmp_path):
    report = make_report()
    bundle.write_report(tmp_path, report)
    assert describe(tmp_path) == {
        "path": str(tmp_path),
        "kind": "bundle",
        **report,
    }


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.keras", "does not exist"),
        ("text.keras", "is not a Keras model"),
        ("half.keras", "is not a Keras model"),
        ("text.txt", "is not a recognised artifact"),
        ("none", "does not exist"),
    ],
)
def test_what_is_not_recognised(name, message, tmp_path):
    save(tmp_path / "half.keras", config=CONFIG)
    for text in ("text.keras", "text.txt"):
        (tmp_path / text).write_text("text")
    with pytest.raises(RequestError, match=f"{name} {message}"):
        describe(tmp_path / name)
