"""The programs that `info --code` prints.

`tests/browser` runs those in JavaScript.
"""

import sys
from dataclasses import replace

import pytest

from keras_inception_export import RequestError
from keras_inception_export.bundle import snippets
from keras_inception_export.bundle.bundle import sha256_of, write_report
from keras_inception_export.bundle.snippets import snippet
from keras_inception_export.cli import main
from keras_inception_export.data.preprocessing import PRESETS
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.formats.registry import FORMATS
from tests.helpers.brightness import metadata, write_brightness
from tests.helpers.commands import run
from tests.helpers.reports import make_artifact, make_report
from tests.helpers.snippet_cases import (
    CASES,
    expected,
    printed,
    write_model,
    write_photos,
)


@pytest.mark.parametrize(("channels", "options"), CASES.values(), ids=CASES)
def test_python(channels, options, tmp_path, capfd):
    path = tmp_path / "model.onnx"
    write_model(path, channels, **options)
    check_python(path, tmp_path, capfd)


@pytest.mark.parametrize("name", ["🦊 1.onnx", """it's "$x"\\.onnx"""])
def test_names_and_images_of_which_one_side_is_known(name, tmp_path, capfd):
    path = write_brightness(tmp_path / name, size=("h", 6))
    check_python(path, tmp_path, capfd)
    assert "width == 6 && height > 0" in snippet(path, "cpp")
    with pytest.raises(RequestError, match=r"one side .* \[None, 6\]"):
        snippet(path, "javascript")


def check_python(path, tmp_path, capfd):
    photos = write_photos(tmp_path)
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


@pytest.mark.parametrize(
    ("image", "scores", "message"),
    [
        ({"scale": 1.0}, {}, None),
        ({"scale": 0.5}, {}, "no code for uint8; .* not quantized"),
        ({"scale": 1.0}, {"scale": 0.5}, "no code for float32; .* not quant"),
        ({"dtype": "float16"}, {}, "no code for float16"),
        ({}, {"shape": (None, 1)}, r'take one image .* "scores" \[None, 1\]'),
    ],
    ids=str,
)
def test_types_of_inputs_and_outputs(
    image, scores, message, tmp_path, monkeypatch
):
    path = write_brightness(tmp_path / "model.onnx", known=False)
    known = metadata(preprocessing=PRESETS["none"])
    FORMATS["onnx"].write_metadata(path, known)
    specs = (
        (replace(TensorSpec("image", (None, 4, 4, 1), "uint8"), **image),),
        (replace(TensorSpec("scores", (None, 3), "float32"), **scores),),
    )
    onnx = replace(FORMATS["onnx"], read_specs=lambda path: specs)
    monkeypatch.setattr(snippets, "format_of", lambda path: onnx)
    if message is None:
        assert '"uint8")' in snippet(path, "python")
        return
    with pytest.raises(RequestError, match=message):
        snippet(path, "python")


def test_the_artifact_of_a_bundle(tmp_path):
    write_brightness(tmp_path / "model.onnx")
    for name in ("model.xml", "model.tflite"):
        (tmp_path / name).write_bytes(b"")
    entries = [
        make_artifact(format=x, path=name, sha256=sha256_of(tmp_path / name))
        for x, name in (
            ("openvino", "model.xml"),
            ("tflite", "model.tflite"),
            ("onnx", "model.onnx"),
        )
    ]
    write_report(tmp_path, make_report(artifacts=entries))
    assert snippet(tmp_path, "cpp") == snippet(tmp_path / "model.onnx", "cpp")


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
    (tmp_path / "x.xml").write_bytes(b"")
    with pytest.raises(RequestError, match="openvino; .* for onnx, tflite"):
        snippet(tmp_path / "x.xml", "python")
    assert set(PRESETS) >= {"unit", "torch", "caffe", "tf"}
