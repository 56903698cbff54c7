"""The program that `info --code javascript` prints, run by Node.js."""

import shutil
from pathlib import Path

import pytest

from keras_inception_export.bundle.snippets import snippet
from tests.helpers.commands import run
from tests.helpers.snippet_cases import (
    CASES,
    expected,
    printed,
    write_model,
    write_photos,
)

HERE = Path(__file__).parent


@pytest.mark.parametrize(("channels", "options"), CASES.values(), ids=CASES)
def test_javascript(channels, options, tmp_path):
    """What sharp resizes differs a little from Pillow's."""
    path, photos = tmp_path / "model.onnx", write_photos(tmp_path)
    write_model(path, channels, **options)
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    program = tmp_path / "program.cjs"
    program.write_text(snippet(path, "javascript"))
    done = run([shutil.which("node")], program, *photos)
    assert done.stderr == ""
    wanted = expected(path, photos)
    largest = float(max(map(abs, wanted.values())))
    found = printed(done.stdout)
    assert found == pytest.approx(wanted, abs=0.02 * largest)
    wrong = dict(zip(wanted, reversed(wanted.values()), strict=True))
    assert found != pytest.approx(wrong, abs=0.02 * largest)
