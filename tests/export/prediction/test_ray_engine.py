"""Two workers of Ray write the file that one process writes."""

import os
import sys

import pytest

from keras_inception_export.cli import main
from tests.helpers.brightness import write_brightness, write_images
from tests.helpers.commands import run


@pytest.mark.slow
def test_the_rows_of_two_workers(tmp_path):
    model = write_brightness(tmp_path / "model.onnx")
    images = tmp_path / "in"
    write_images(images, 150)
    (images / "a" / "bad.png").write_text("no image")
    local, ray = tmp_path / "local.csv", tmp_path / "ray.csv"
    words = ["predict", model, images, "--output"]
    assert main([*map(str, words), str(local)]) == 1
    done = run(
        [sys.executable, "-m", "keras_inception_export"],
        *(*words, ray, "--engine", "ray", "--workers", "2"),
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
    )
    assert done.returncode == 1
    assert "1 of 151 inputs have no result" in done.stderr
    assert ray.read_bytes() == local.read_bytes()


def test_without_ray(tmp_path, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "ray", None)
    model = write_brightness(tmp_path / "model.onnx")
    write_images(tmp_path / "in", 1)
    words = ["predict", model, tmp_path / "in", "--engine"]
    assert main([*map(str, words), "ray"]) == 2
    assert capfd.readouterr().err == (
        "keras-inception: the engine ray needs the package ray: "
        "pip install ray\n"
    )
    assert main([*map(str, words), "rai"]) == 2
    assert 'did you mean "ray"' in capfd.readouterr().err
