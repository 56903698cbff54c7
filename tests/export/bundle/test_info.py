"""What `info` says of a bundle and of a `.keras` file, without a framework."""

import json
import zipfile
from dataclasses import replace

import pytest

from keras_inception_export.bundle import bundle
from keras_inception_export.bundle.info import describe
from keras_inception_export.cli import main
from keras_inception_export.data.preprocessing import PRESETS, Preprocessing
from keras_inception_export.errors import RequestError
from keras_inception_export.formats.registry import FORMATS
from tests.helpers.brightness import metadata, write_brightness
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


GREY = Preprocessing(size=(32, 24), color="grey", scale=1 / 255)
IMAGES = {
    "32 x 24 grey, stretched (bilinear), scale 1/255": GREY,
    "any x any RGB, stretched (bilinear), values 0 to 255": PRESETS["none"],
    "8 x 8 RGB, padded (lanczos), channels first, scale 1/127.5, mean 1": (
        replace(
            PRESETS["tf"],
            size=(8, 8),
            resize="pad",
            interpolation="lanczos",
            data_format="channels_first",
        )
    ),
    "8 x 8 RGB, cropped (bicubic), scale 1/255, mean 0.485 0.456 0.406, "
    "std 0.229 0.224 0.225": replace(
        PRESETS["torch"], size=(8, 8), resize="crop", interpolation="bicubic"
    ),
    "any x any BGR, stretched (bilinear), mean 103.939 116.779 123.68": (
        PRESETS["caffe"]
    ),
    "any x any RGB, stretched (bilinear), scale 2, std 3": Preprocessing(
        scale=2.0, std=(3.0, 3.0, 3.0)
    ),
}


@pytest.mark.parametrize("text", IMAGES)
def test_how_images_become_inputs(text):
    known = metadata(preprocessing=IMAGES[text])
    assert known.summary()[0] == ("images", f"image: {text}")


def test_images_and_classes(tmp_path, capfd):
    """Of an artifact, and of a bundle; labels cannot write to a terminal."""
    path = write_brightness(tmp_path / "model.onnx", known=False)
    assert main(["info", str(path)]) == 0
    assert "\nimages " not in capfd.readouterr().out
    known = metadata(preprocessing=GREY)
    names = tuple("zero one two three".split())
    known = replace(
        known,
        inputs=(
            *(replace(known.inputs[0], built_in=PRESETS["caffe"]),),
            replace(known.inputs[0], name="other", preprocessing=None),
        ),
        outputs=(*known.outputs, replace(known.outputs[0], labels=names)),
    )
    FORMATS["onnx"].write_metadata(path, known)
    (tmp_path / "bundle").mkdir()
    report = make_report(metadata=known.as_json())
    bundle.write_report(tmp_path / "bundle", report)
    for described in (path, tmp_path / "bundle"):
        assert main(["info", str(described)]) == 0
        lines = capfd.readouterr().out.splitlines()
        start = lines.index(
            "images         image: 32 x 24 grey, stretched (bilinear), scale "
            "1/255, then in the artifact BGR, mean 103.939 116.779 123.68"
        )
        assert lines[start + 1 : start + 3] == [
            "classes        scores: bright, dark, grey, or\\nso (3)",
            "classes        scores: zero, one, two, ... (4)",
        ]
        assert main(["info", str(described), "--json"]) == 0
        facts = json.loads(capfd.readouterr().out)["result"]
        assert facts["metadata"] == known.as_json()
