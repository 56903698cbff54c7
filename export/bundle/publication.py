"""Publish a bundle: it appears whole at its destination, or not at all.

A bundle is written in a hidden folder beside its destination:

    .keras-inception.abcdefgh/    removed at the end, or by the next export
        lock                      held as long as the process lives
        bundle/                   the new bundle; after the exchange, the old

The new and the old bundle are exchanged in one step where the system can do
that, so that a reader always finds one of them.
"""

import contextlib
import ctypes
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from keras_inception_export.bundle.bundle import is_only_a_bundle
from keras_inception_export.errors import RequestError, os_reason, writing

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = ".keras-inception."
LOCK, NEW, OLD = "lock", "bundle", "old"
MAX_NAME = 255  # bytes of a file's name
STARTING = 60.0
"""Seconds within which an export has written its name to its lock."""
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raise RequestError if a bundle cannot be published at a path."""
    with staging(output):
        pass
    output = _followed(output)
    if os.path.lexists(output):
        _check_replaceable(output, overwrite)


def _check_replaceable(output: Path, overwrite: bool) -> None:
    if not overwrite:
        raise RequestError(
            f"{output} exists already; give another --output, or --overwrite "
            "to replace it once the new bundle is verified"
        )
    if _is_mount(output):
        raise RequestError(
            f"{output} is a mount point, which cannot be replaced; give a "
            "folder within it as --output"
        )
    if not is_only_a_bundle(output):
        raise RequestError(
            f"{output} exists and is not a bundle, or contains other files, so "
            "--overwrite leaves it alone; give another --output"
        )


def _is_mount(path: Path) -> bool:
    """Return whether a folder is a mount point.

    `os.path.ismount` misses one that shows a folder of the same file system.
    """
    mounts: list[str] = []
    with contextlib.suppress(OSError):
        text = Path("/proc/self/mountinfo").read_text(
            encoding="utf-8", errors="surrogateescape"
        )
        mounts = [line.split(" ")[4] for line in text.splitlines()]
    escaped = str(path).replace("\\", r"\134").replace(" ", r"\040")
    return os.path.ismount(path) or escaped in mounts


@contextlib.contextmanager
def staging(output: Path) -> Iterator[Path]:
    """Yield a temporary folder near `output`, in which a bundle is written.

    It is removed at the end, unless it was published. What exports that were
    killed have left is removed first.
    """
    output = _followed(output)
    parent = parent_of(output)
    with contextlib.ExitStack() as stack:
        _check_possible(output, parent)
        try:
            holder = stack.enter_context(held_folder(parent, output.name))
            folder = holder / NEW
            folder.mkdir()
        except OSError as error:
            raise RequestError(
                f"{output} cannot be created, because nothing can be written "
                f"in {parent}: {os_reason(error)}"
            ) from error
        with writing(output):
            yield folder


@contextlib.contextmanager
def held_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a temporary folder, after removing those of killed processes.

    It is removed at the end, or if this process is killed, by the next one.
    `name` is what is published from it.
    """
    _sweep(parent)
    holder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, holder, ignore_errors=True)
        lock = stack.enter_context((holder / LOCK).open("wb", 0))
        if fcntl is not None:  # wait for an export that looks
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(os.fsencode(name))
        yield holder


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a temporary path, whose file is moved to `path` at the end.

    If anything fails, `path` is unchanged. A link is followed, and the file
    keeps its permissions.
    """
    if path.is_dir():
        raise RequestError(f"{path} is a folder, expected the path of a file")
    target = _followed(path)
    with contextlib.ExitStack() as stack:
        with writing(path):
            folder = stack.enter_context(held_folder(target.parent, path.name))
        yield folder / path.name
        with writing(path):
            if target.exists():
                shutil.copymode(target, folder / path.name)
            os.replace(folder / path.name, target)


def publish(folder: Path, output: Path, *, overwrite: bool) -> None:
    """Move a verified folder to its destination.

    If that fails, the destination is unchanged. A link is followed, and the
    new bundle has the permissions of the one that it replaces.

    Raises:
        RequestError: if that is impossible, or if there is now something at
            the destination that must not be replaced.
    """
    output = _followed(output)
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(output):
            os.rename(folder, output)
            return
        _check_replaceable(output, overwrite)
        shutil.copymode(output, folder)
        _exchange(folder, output)
        if not is_only_a_bundle(folder):  # it was put there meanwhile
            _exchange(folder, output)
            _check_replaceable(output, overwrite)


def _exchange(folder: Path, output: Path) -> None:
    """Exchange two folders, in one step if the system can do that."""
    if _exchange_at_once(folder, output):
        return
    old = folder.with_name(OLD)
    os.rename(output, old)
    try:
        os.rename(folder, output)
    except BaseException:
        os.rename(old, output)
        raise
    os.rename(old, folder)


def _exchange_at_once(folder: Path, output: Path) -> bool:
    """Return whether system and file system can exchange two folders."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    paths = AT_FDCWD, os.fsencode(folder), AT_FDCWD, os.fsencode(output)
    if renameat2(*paths, RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number))


def remove_leftovers(output: Path) -> None:
    """Remove what killed exports left where a bundle is published.

    If one was killed between the two steps of an exchange, the old bundle is
    put back first.
    """
    _sweep(parent_of(output))


def _sweep(parent: Path) -> None:
    for holder in parent.glob(f"{PREFIX}*"):
        with (
            contextlib.suppress(OSError, ValueError),
            contextlib.ExitStack() as stack,
        ):
            name = ""
            with contextlib.suppress(FileNotFoundError):  # not made yet
                lock = open(holder / LOCK, "r+b", opener=_open_no_link)
                stack.enter_context(lock)
                if fcntl is None:
                    continue
                # A process that lives holds the lock: BlockingIOError.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                name = os.fsdecode(lock.read(MAX_NAME))
            if not name and time.time() - holder.stat().st_mtime < STARTING:
                continue
            output = parent / Path(name).name
            if (holder / OLD).exists() and not os.path.lexists(output):
                os.rename(holder / OLD, output)
            _remove(holder)


def _open_no_link(path: str, flags: int) -> int:
    """Open a file that anybody may have put there, but for a link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0))


def _remove(folder: Path) -> None:
    """Remove a folder to which a process may write that is being killed."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def parent_of(output: Path) -> Path:
    """Return the folder, which exists, that a bundle is written in."""
    output = _followed(output)
    return next((x for x in output.parents if os.path.exists(x)), output)


def _check_possible(output: Path, parent: Path) -> None:
    """Raise RequestError for a path that cannot exist, as with a long name."""
    parts = output.relative_to(parent).parts
    try:
        for path in (output, *(parent / part for part in parts)):
            with contextlib.suppress(FileNotFoundError):
                path.lstat()
    except OSError as error:
        raise RequestError(
            f"{output} cannot be created, because its path is impossible: "
            f"{os_reason(error)}; give another --output"
        ) from error


def _followed(output: Path) -> Path:
    """Return the absolute path that a path leads to, links followed."""
    return Path(os.path.realpath(output))
