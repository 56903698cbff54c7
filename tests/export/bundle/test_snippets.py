"""The programs that `info --code` prints.

`tests/browser` runs those in JavaScript.
"""

import sys

import pytest

from keras_inception_export import RequestError
from keras_inception_export.bundle.snippets import snippet
from keras_inception_export.cli import main
from keras_inception_export.data.preprocessing import PRESETS
from tests.helpers.brightness import write_brightness
from tests.helpers.commands import run
from tests.helpers.snippet_cases import (
    CASES,
    expected,
    printed,
    write_model,
    write_photos,
)


@pytest.mark.parametrize(("channels", "options"), CASES.values(), ids=CASES)
def test_python(channels, options, tmp_path, capfd):
    path, photos = tmp_path / "model.onnx", write_photos(tmp_path)
    write_model(path, channels, **options)
    assert main(["info", str(path), "--code", "python"]) == 0
    program = tmp_path / "program.py"
    program.write_text(capfd.readouterr().out)
    done = run([sys.executable], program, *photos)
    assert done.stderr == ""
    found = printed(done.stdout)
    assert found == pytest.approx(expected(path, photos), 1e-5, 6e-5)


def test_cpp_has_the_values_of_the_artifact(tmp_path):
    path = tmp_path / "model.onnx"
    write_model(path, 3, preset="torch")
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
