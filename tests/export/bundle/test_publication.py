"""A bundle appears whole, replaces only a bundle, and leaves nothing behind."""

import ctypes
import errno
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest

from keras_inception_export.bundle import publication
from keras_inception_export.errors import ArtifactError, RequestError
from tests.helpers.bundle_files import make_bundle, names, write


def replace(output, overwrite=True, before=lambda: None):
    with publication.staging(output) as folder:
        make_bundle(folder)
        before()
        publication.publish(folder, output, overwrite=overwrite)


@pytest.fixture(params=[True, False], ids=["one step", "two steps"])
def _steps(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(publication, "_exchange_at_once", lambda *_: False)


@pytest.fixture
def output(tmp_path):
    return make_bundle(tmp_path / "out", "old")


def is_new(output):
    assert names(output.parent) == [output.name]
    return (output / "model.onnx").read_text() == "new"


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_a_new_bundle_is_published(umask, tmp_path):
    output = tmp_path / "new" / "er" / "out"
    before = os.umask(umask)
    try:
        replace(output, before=lambda: not output.parent.exists() or 1 / 0)
    finally:
        os.umask(before)
    assert is_new(output)
    assert names(tmp_path) == ["new"]
    assert (output.stat().st_mode & 0o777) == 0o777 & ~umask


@pytest.mark.usefixtures("_steps")
def test_a_bundle_is_replaced(output):
    output.chmod(0o750)
    replace(output)
    assert is_new(output)
    assert (output.stat().st_mode & 0o777) == 0o750


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_is_followed(exists, tmp_path):
    target, link = tmp_path / "data" / "out", tmp_path / "link"
    if exists:
        make_bundle(target, "old")
    link.symlink_to("data/out")
    publication.check_output(link, overwrite=exists)
    replace(link, overwrite=exists)
    assert link.is_symlink() and is_new(target)
    assert names(tmp_path) == ["data", "link"]


def test_an_unpublished_folder_is_removed(output):
    def fail():
        raise ArtifactError("wrong")

    with pytest.raises(ArtifactError, match="wrong"):
        replace(output, before=fail)
    assert not is_new(output)


@pytest.mark.parametrize("error", [OSError(5, "I/O"), KeyboardInterrupt()])
def test_a_failed_replacement_leaves_the_old_bundle(error, output, monkeypatch):
    rename, calls = os.rename, []

    def fail_once(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise error
        rename(source, target)

    monkeypatch.setattr(publication, "_exchange_at_once", lambda *_: False)
    monkeypatch.setattr(os, "rename", fail_once)
    with pytest.raises((RequestError, KeyboardInterrupt)) as caught:
        replace(output)
    if isinstance(error, OSError):
        assert str(caught.value) == f"{output} cannot be written: I/O"
    assert not is_new(output)


FOREIGN = {
    "another file": lambda output: make_bundle(output, thesis=""),
    "a folder": lambda output: make_bundle(output, **{"photos/1.png": ""}),
    "an empty report": lambda output: write(output, {"report.json": "{}"}),
    "no report": lambda output: write(output, {"thesis.txt": ""}),
    "a file": lambda output: output.write_text(""),
}


@pytest.mark.usefixtures("_steps")
@pytest.mark.parametrize("meanwhile", [False, True])
@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_only_a_bundle_is_left_alone(make, meanwhile, tmp_path):
    output = tmp_path / "out"
    if not meanwhile:
        make(output)
    with pytest.raises(RequestError, match="--overwrite leaves it alone"):
        publication.check_output(output, overwrite=True)
        replace(output, before=lambda: make(output))
    made = make(tmp_path / "same")
    if output.is_dir():
        assert names(output) == names(made)
    assert names(tmp_path) == ["out", "same"]


@pytest.mark.usefixtures("_steps")
def test_what_is_put_there_during_the_exchange_is_put_back(output, monkeypatch):
    exchange = publication._exchange

    def late(folder, output):
        write(output, {"thesis.txt": ""})
        exchange(folder, output)

    monkeypatch.setattr(publication, "_exchange", late)
    with pytest.raises(RequestError, match="contains other files"):
        replace(output)
    assert "thesis.txt" in names(output) and not is_new(output)


def test_what_appears_meanwhile_is_not_overwritten_unasked(tmp_path):
    output = tmp_path / "out"
    with pytest.raises(RequestError, match="exists already"):
        replace(output, overwrite=False, before=lambda: make_bundle(output, ""))
    assert not is_new(output)


def test_a_reader_always_finds_a_bundle(output):
    """If the system can exchange folders in one step, as Linux can."""
    with publication.staging(output) as folder:
        make_bundle(folder)
        if not publication._exchange_at_once(folder, output):
            return
    looks, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            looks.append((output / "report.json").is_file())

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(100):
        replace(output)
    stop.set()
    reader.join()
    assert len(looks) > 100 and all(looks)


@pytest.mark.skipif(sys.platform != "linux", reason="renameat2 is of Linux")
def test_the_system_exchanges_folders(output, monkeypatch):
    other = make_bundle(output.with_name("other"))
    assert publication._exchange_at_once(other, output)
    assert (output / "model.onnx").read_text() == "new"
    assert (other / "model.onnx").read_text() == "old"
    ctypes.set_errno(0)
    with pytest.raises(FileNotFoundError, match="No such file"):
        publication._exchange_at_once(output, output.with_name("none"))
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.EINVAL)
    assert not publication._exchange_at_once(output, output.with_name("none"))
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: None)
    assert not publication._exchange_at_once(other, output)


def killed(folder, files, name="out", by="dead"):
    """Write what an export leaves that is killed."""
    holder = folder / f"{publication.PREFIX}{by}"
    return write(holder, {"lock": name, **files})


def test_what_a_killed_export_left_is_removed(output):
    killed(output.parent, {"bundle/model.onnx": "half"})
    publication.check_output(output, overwrite=True)
    assert not is_new(output)


@pytest.mark.parametrize("tries", [2, 20, 21])
def test_what_is_written_while_it_is_removed_is_removed(
    tries, output, monkeypatch
):
    """If the other process ends within two seconds."""
    rmtree, calls, seconds = shutil.rmtree, [], []

    def busy(folder, ignore_errors=False):
        calls.append(folder)
        if len(calls) == tries:
            rmtree(folder)
        elif not ignore_errors:
            raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(shutil, "rmtree", busy)
    monkeypatch.setattr(publication.time, "sleep", seconds.append)
    holder = killed(output.parent, {"bundle/model.onnx": "half"})
    publication.remove_leftovers(output)
    assert holder.exists() == (tries > 20)
    assert seconds == [0.1] * min(tries - 1, 20)


def test_what_is_not_of_an_export_is_left_alone(output):
    files = [output.with_name(f"{publication.PREFIX}{x}") for x in "ab"]
    files[0].write_text("")
    (files[1] / "lock").mkdir(parents=True)
    killed(output.parent, {"bundle/model.onnx": "half"})
    publication.remove_leftovers(output)
    assert {*output.parent.iterdir()} == {output, *files}


def test_without_locks_nothing_is_known_to_be_left(output, monkeypatch):
    monkeypatch.setattr(publication, "fcntl", None)
    holder = killed(output.parent, {"bundle/model.onnx": "half"})
    publication.remove_leftovers(output)
    assert holder.exists()


def test_a_bundle_that_a_killed_export_had_moved_is_put_back(tmp_path):
    holder = killed(tmp_path, {"bundle/model.onnx": "new"})
    make_bundle(holder / "old", "old")
    with pytest.raises(RequestError, match="exists already"):
        publication.check_output(tmp_path / "out", overwrite=False)
    assert not is_new(tmp_path / "out")


def test_a_bundle_published_meanwhile_stays(output):
    killed(output.parent, {"old/model.onnx": "older", "bundle/a": "half"})
    publication.remove_leftovers(output)
    assert not is_new(output)


def test_what_is_left_is_removed_beside_exports_that_live(tmp_path):
    living = set()
    for index in range(4):
        killed(tmp_path, {}, by=f"dead{index}")
        living.add(killed(tmp_path, {}, name="", by=f"starting{index}"))
    # A lock that is made in it anew would keep it from being removed.
    without_lock = tmp_path / f"{publication.PREFIX}other"
    without_lock.mkdir()
    living.add(without_lock)
    publication.remove_leftovers(tmp_path / "out")
    assert set(tmp_path.iterdir()) == living
    assert not list(without_lock.iterdir())
    for holder in living:
        os.utime(holder, (0, 0))
    publication.remove_leftovers(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_another_export_that_lives_is_left_alone(tmp_path):
    with publication.staging(tmp_path / "out") as folder:
        make_bundle(folder)
        dead = [killed(tmp_path, {}, by=f"dead{index}") for index in range(4)]
        publication.check_output(tmp_path / "other", overwrite=False)
        assert (folder / "report.json").is_file()
        assert not any(map(Path.exists, dead))


FORGED = {
    "NUL": lambda lock: lock.write_bytes(b"a\0b"),
    "parent": lambda lock: lock.write_bytes(b".."),
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "link": lambda lock: lock.symlink_to("../made"),
    "size": lambda lock: lock.touch() or os.truncate(lock, 2**42),
}


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED)
def test_what_another_user_put_there_does_no_harm(make, output):
    holder = output.parent / f"{publication.PREFIX}forged"
    (holder / "old").mkdir(parents=True)
    make(holder / "lock")
    replace(output)
    shutil.rmtree(holder, ignore_errors=True)
    assert is_new(output)


def test_a_lock_that_is_a_link_is_not_opened(tmp_path):
    holder = killed(tmp_path, {}, name="out")
    (holder / "lock").rename(tmp_path / "mine")
    (holder / "lock").symlink_to("../mine")
    publication.remove_leftovers(tmp_path / "out")
    assert (holder / "lock").is_symlink()


def test_the_root_is_its_own_parent():
    assert publication.parent_of(Path("/")) == Path("/")
