"""The folder that a user gets, published whole or not at all."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from keras_inception_export.errors import ArtifactError, RequestError, writing
from keras_inception_export.formats.registry import FORMATS

REPORT = "report.json"
PROBES = "probes.npz"
LAYER_REFERENCES = "layer_references.npz"


def check_output(output: Path, *, overwrite: bool) -> None:
    """Refuse a place where the bundle cannot or must not go.

    Raises:
        RequestError: if the place exists and `overwrite` is false, if it
            holds something else than a bundle, or if it cannot be written.
    """
    with staging(output):
        pass
    if not os.path.lexists(output):
        return
    if not overwrite:
        raise RequestError(
            f"{output} exists already; give another --output, or --overwrite "
            "to replace it once the new bundle is proven"
        )
    if not (output / REPORT).is_file() and (
        not output.is_dir() or any(output.iterdir())
    ):
        raise RequestError(
            f"{output} exists and is not a bundle, so --overwrite leaves it "
            "alone; give another --output"
        )


@contextlib.contextmanager
def staging(output: Path):
    """Give a folder beside `output`; it is gone afterwards unless published.

    Raises:
        RequestError: if the disk is full or not writable.
    """
    parent = _existing_parent(output)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=parent))
        folder.chmod(0o755)
    except OSError as error:
        raise RequestError(
            f"{output} cannot be made, for {parent} is no folder that can be "
            f"written to: {error.strerror}"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, output: Path) -> None:
    """Move a proven folder into its place, in one rename.

    Raises:
        RequestError: if that cannot be done; the place is as it was.
    """
    with writing(output):
        if not os.path.lexists(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, output)
            return
        old = folder.with_name(folder.name + ".old")
        os.rename(output, old)
        try:
            os.rename(folder, output)
        except OSError:
            os.rename(old, output)
            raise
    shutil.rmtree(old, ignore_errors=True)


def files_of(path: Path) -> list[Path]:
    """Return the files of an artifact: one, a folder's, or with its data."""
    for record in FORMATS.values():
        if record.recognizes(path):
            return record.files(path)
    return [path]


def size_of(path: Path) -> int:
    """Return the bytes of an artifact, all its files together."""
    return sum(file.stat().st_size for file in files_of(path))


def sha256_of(path: Path) -> str:
    """Return one hash of an artifact, over names and contents of its files."""
    files = files_of(path)
    if files == [path]:
        return _file_hash(path)
    whole = hashlib.sha256()
    for file in files:
        name = file.relative_to(path.parent).as_posix()
        whole.update(f"{_file_hash(file)}  {name}\n".encode())
    return whole.hexdigest()


def write_report(folder: Path, report: dict) -> None:
    """Write `report.json`.

    Raises:
        RequestError: if it cannot be written.
    """
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    path = folder / REPORT
    with writing(path):
        path.write_text(text, encoding="utf-8")


def read_report(folder: Path) -> dict:
    """Return the report of a bundle.

    Raises:
        RequestError: if `folder` is not a bundle, or holds no artifact.
        ArtifactError: if its report is damaged.
    """
    path = folder / REPORT
    if not path.is_file():
        raise RequestError(
            f"{folder} is not a bundle: expected a folder with a {REPORT}, as "
            "`keras-inception export` writes it"
        )
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        artifacts = report["artifacts"]
        if not all({"format", "path", "sha256"} <= set(a) for a in artifacts):
            raise KeyError("artifacts")
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} is damaged ({error}); export the model again"
        ) from error
    if not artifacts:
        raise RequestError(
            f"{path} names no artifact, so there is nothing to open; export "
            "the model again"
        )
    return report


def entry(folder: Path, name: str) -> dict:
    """Return how a report names a file of its bundle."""
    return {"path": name, "sha256": sha256_of(folder / name)}


def published(folder: Path, report: Mapping, role: str) -> Path:
    """Return the path of a bundle's probes or layer references.

    Raises:
        ArtifactError: if it is not the file that was published.
    """
    facts = report.get(role, {})
    path = folder / facts.get("path", f"{role}.npz")
    if not path.is_file() or sha256_of(path) != facts.get("sha256"):
        raise ArtifactError(
            f"{path} is not the file that was published (its hash differs), "
            "so it proves nothing; export again"
        )
    return path


def _existing_parent(output: Path) -> Path:
    parent = output.absolute().parent
    while not parent.exists():
        parent = parent.parent
    return parent


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
