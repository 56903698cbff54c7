"""The programs that `info --code` prints, run by other interpreters."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_inception_export import RequestError, load_artifact
from keras_inception_export.bundle.snippets import snippet
from keras_inception_export.cli import main
from keras_inception_export.data.preprocessing import (
    PRESETS,
    Preprocessing,
    make_preprocessing,
)
from keras_inception_export.formats.registry import FORMATS
from tests.helpers.brightness import metadata, write_brightness
from tests.helpers.commands import run


@pytest.fixture
def photos(tmp_path):
    """Photos of three sizes, one of them turned by its EXIF data."""
    rng = np.random.default_rng(0)
    paths = []
    for index, size in enumerate(((40, 32, 3), (16, 24, 3), (20, 20))):
        pixels = np.clip(rng.normal(90 + 60 * index, 30, size), 0, 255)
        image = Image.fromarray(pixels.astype("uint8"))
        exif = Image.Exif()
        exif[0x0112] = 6 if index == 0 else 1
        paths.append(str(tmp_path / f"{index}.png"))
        image.save(paths[-1], exif=exif)
    return paths


def write(path, channels, **options):
    """Write a model that expects what these options say."""
    write_brightness(path, size=(8, 6), channels=channels, known=False)
    base = make_preprocessing(options.pop("preset", "none"))
    facts = base.as_json() | options
    known = metadata((8, 6), Preprocessing.from_json(facts), channels)
    FORMATS["onnx"].write_metadata(path, known)


def printed(text):
    """Return the scores that a program printed, by photo and label."""
    rows = (line.rsplit(" ", 1) for line in text.splitlines())
    found = {name: float(score) for name, score in rows}
    assert len(found) == 9
    return found


def expected(path, photos):
    return {
        f"{photo} {label}": score
        for photo, found in zip(
            photos, load_artifact(path).predict(photos), strict=True
        )
        for _, label, score in found.top()
    }


CASES = {
    "grey": (1, {"preset": "unit"}),
    "torch": (3, {"preset": "torch", "resize": "crop"}),
    "caffe": (3, {"preset": "caffe", "resize": "pad"}),
    "lanczos": (1, {"preset": "tf", "interpolation": "lanczos"}),
}


@pytest.mark.parametrize(("channels", "options"), CASES.values(), ids=CASES)
def test_python(channels, options, photos, tmp_path, capfd):
    path = tmp_path / "model.onnx"
    write(path, channels, **options)
    assert main(["info", str(path), "--code", "python"]) == 0
    program = tmp_path / "program.py"
    program.write_text(capfd.readouterr().out)
    done = run([sys.executable], program, *photos)
    assert done.stderr == ""
    found = printed(done.stdout)
    assert found == pytest.approx(expected(path, photos), 1e-5, 6e-5)


@pytest.mark.slow
def test_javascript(photos, tmp_path):
    """What sharp resizes differs a little from Pillow's."""
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    skip = "--onnxruntime-node-install=skip"
    words = ["install", "--prefix", str(tmp_path), "onnxruntime-node", "sharp"]
    done = subprocess.run(["npm", *words, skip], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"npm cannot install: {done.stderr[-200:]}")
    for number, (channels, options) in enumerate(CASES.values()):
        path = tmp_path / f"{number}.onnx"
        write(path, channels, **options)
        program = tmp_path / "program.cjs"
        program.write_text(snippet(path, "javascript"))
        done = run(["node"], program, *photos, env={**os.environ})
        assert done.stderr == ""
        wanted = expected(path, photos)
        largest = float(max(map(abs, wanted.values())))
        found = printed(done.stdout)
        assert found == pytest.approx(wanted, abs=0.02 * largest)


def test_cpp_has_the_values_of_the_artifact(tmp_path):
    path = tmp_path / "model.onnx"
    write(path, 3, preset="torch")
    program = snippet(path, "cpp")
    for text in (
        'LABELS = {"bright", "dark", "grey, or\\\\nso"}',
        "DIVISOR = 255.0, MEAN[] = {0.485, 0.456, 0.406}",
        "pixel = {r, g, b}",
        "width == 6 && height == 8",
        f'session(env, "{path}"',
        'inputs[] = {"image"}',
        'outputs[] = {"scores"}',
    ):
        assert text in program


def test_there_is_not_code_for_everything(tmp_path):
    path = tmp_path / "model.onnx"
    write_brightness(path, known=False)
    with pytest.raises(RequestError, match="export the model with --preproc"):
        snippet(path, "python")
    with pytest.raises(RequestError, match='did you mean "python"'):
        snippet(path, "pyton")
    (tmp_path / "x.tflite").write_bytes(b"")
    with pytest.raises(RequestError, match="tflite; there is some in python"):
        snippet(tmp_path / "x.tflite", "cpp")
    assert set(PRESETS) >= {"unit", "torch", "caffe", "tf"}
