"""Where a bundle can be published is checked before an export starts."""

import os
from pathlib import Path

import pytest

from keras_inception_export.bundle import publication
from keras_inception_export.errors import RequestError
from tests.helpers.bundle_files import REPORT, make_bundle, names, write


@pytest.mark.parametrize(
    ("files", "overwrite", "message"),
    [
        ({}, False, None),
        ({"out/report.json": REPORT}, True, None),
        (
            {"out/report.json": REPORT},
            False,
            "{} exists already; give another --output, or --overwrite to "
            "replace it once the new bundle is verified",
        ),
        (
            {"out/thesis.txt": ""},
            True,
            "{} exists and is not a bundle, or contains other files, so "
            "--overwrite leaves it alone; give another --output",
        ),
    ],
)
def test_check_output(files, overwrite, message, tmp_path):
    write(tmp_path, files)
    before = names(tmp_path)
    if message is None:
        publication.check_output(tmp_path / "out", overwrite=overwrite)
    else:
        with pytest.raises(RequestError) as caught:
            publication.check_output(tmp_path / "out", overwrite=overwrite)
        assert str(caught.value) == message.format(tmp_path / "out")
    assert names(tmp_path) == before


def test_an_empty_folder_may_be_overwritten(tmp_path):
    (tmp_path / "out").mkdir()
    publication.check_output(tmp_path / "out", overwrite=True)


@pytest.mark.parametrize(
    "path", ["a" * 256, f"new/{'a' * 256}", "a" * 5000, "loop/out", "file/out"]
)
def test_paths_that_cannot_exist(path, tmp_path):
    """Otherwise that would be noticed after the export."""
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match="its path is impossible"):
        publication.check_output(tmp_path / path, overwrite=True)
    assert names(tmp_path) == ["file", "loop"]


def test_a_mount_point_is_refused_at_the_start(tmp_path, monkeypatch):
    output = make_bundle(tmp_path / "out")
    monkeypatch.setattr(os.path, "ismount", lambda path: path == output)
    with pytest.raises(RequestError) as caught:
        publication.check_output(output, overwrite=True)
    assert str(caught.value) == (
        f"{output} is a mount point, which cannot be replaced; give a folder "
        "within it as --output"
    )


def test_what_is_a_mount_point(tmp_path, monkeypatch):
    assert publication._is_mount(Path("/"))
    assert not publication._is_mount(tmp_path)
    line = f"1 2 3 {tmp_path} {tmp_path}/a\\040b\\134c rw"
    lists = {"/proc/self/mountinfo": line}
    monkeypatch.setattr(Path, "read_text", lambda path, **_: lists[str(path)])
    assert publication._is_mount(tmp_path / "a b\\c")
    assert not publication._is_mount(tmp_path)


def test_without_a_list_of_mount_points(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", fails)
    assert not publication._is_mount(tmp_path)
