"""A bundle: the folder of artifacts and a report that an export publishes.

It is written beside its destination and moved there in one rename, so that a
user sees a whole bundle or none. The report has a hash of every file.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_inception_export.errors import ArtifactError, RequestError, writing
from keras_inception_export.formats.registry import FORMATS

REPORT = "report.json"
PROBES = "probes.npz"
LAYER_REFERENCES = "layer_references.npz"


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raise RequestError if a bundle cannot be published at a path."""
    with staging(output):
        pass
    if not os.path.lexists(output):
        return
    if not overwrite:
        raise RequestError(
            f"{output} exists already; give another --output, or --overwrite "
            "to replace it once the new bundle is verified"
        )
    if not (output / REPORT).is_file() and (
        not output.is_dir() or any(output.iterdir())
    ):
        raise RequestError(
            f"{output} exists and is not a bundle, so --overwrite leaves it "
            "alone; give another --output"
        )


@contextlib.contextmanager
def staging(output: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `output`, in which a bundle is written.

    It is removed at the end, unless it was published.
    """
    parent = next(x for x in output.absolute().parents if x.exists())
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=parent))
        folder.chmod(0o755)
    except OSError as error:
        raise RequestError(
            f"{output} cannot be created, because {parent} is not a writable "
            f"folder: {error.strerror}"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, output: Path) -> None:
    """Move a verified folder to its destination, in one rename.

    If that fails, the destination is unchanged.
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
    """Return the files of an artifact, in the order they are hashed in."""
    if path.is_dir():  # perhaps without the file that identifies its format
        return sorted(file for file in path.rglob("*") if file.is_file())
    for record in FORMATS.values():
        if record.recognizes(path):
            return record.files(path)
    return [path]


def size_of(path: Path) -> int:
    """Return the size of an artifact in bytes, the sum over its files."""
    return sum(file.stat().st_size for file in files_of(path))


def sha256_of(path: Path) -> str:
    """Return the hash of the names and contents of an artifact's files."""
    files = files_of(path)
    if files == [path]:
        return _file_hash(path)
    total = hashlib.sha256()
    for file in files:
        name = file.relative_to(path.parent).as_posix()
        total.update(f"{_file_hash(file)}  {name}\n".encode())
    return total.hexdigest()


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the report of a bundle."""
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    path = folder / REPORT
    with writing(path):
        path.write_text(text, encoding="utf-8")


def read_report(folder: Path) -> dict[str, Any]:
    """Return the report of a bundle that has an artifact."""
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


def entry(folder: Path, name: str) -> dict[str, str]:
    """Return the entry of a file in the report of its bundle."""
    return {"path": name, "sha256": sha256_of(folder / name)}


def published(folder: Path, report: Mapping, role: str) -> Path:
    """Return the path of a bundle's probes or layer references, unchanged."""
    facts = report.get(role, {})
    path = folder / facts.get("path", f"{role}.npz")
    if not path.is_file() or sha256_of(path) != facts.get("sha256"):
        raise ArtifactError(
            f"{path} is not the file that was published (its hash differs), "
            "so nothing can be verified with it; export the model again"
        )
    return path


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
