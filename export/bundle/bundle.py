"""A bundle: the folder of artifacts and a report that an export publishes.

The report has a hash of every file.
"""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_inception_export.data.reading import check_expansion, reading
from keras_inception_export.errors import (
    ArtifactError,
    ExportError,
    RequestError,
    check_regular,
    writing,
)
from keras_inception_export.formats.registry import FORMATS

REPORT = "report.json"
MAX_REPORT = 2**26  # bytes
FILES = ("probes", "layer_references")  # entries of the report beside artifacts
PROBES = "probes.npz"
EXPECTED, SAMPLES = USUAL = "expected", "samples"
"""The regimes of the probes that are like the inputs in use."""
UNHASHED = (Path("assets"),)
LAYER_REFERENCES = "layer_references.npz"


def files_of(path: Path) -> list[Path]:
    """Return the files of an artifact, in the order they are hashed in."""
    if path.is_dir():  # perhaps without the file that identifies its format
        return sorted(file for file in path.rglob("*") if file.is_file())
    for record in FORMATS.values():
        if record.recognizes(path):
            return record.files(path)
    return [path]


def sha256_of(path: Path) -> str:
    """Return the hash of the names and contents of an artifact's files."""
    files = files_of(path)
    if files == [path]:
        return _file_hash(path)
    total = hashlib.sha256()
    for file in files:
        name = file.relative_to(path.parent).as_posix()
        total.update(f"{_file_hash(file)}  {name}\n".encode())
    for folder in _empty_folders(path):
        name = folder.relative_to(path.parent).as_posix()
        total.update(f"{name}/\n".encode())
    return total.hexdigest()


def _empty_folders(path: Path) -> list[Path]:
    """Return the folders in a folder that contain nothing.

    Bundles of version 0.1.0 have one that is not in the hash.
    """
    return sorted(
        found
        for found in path.rglob("*")
        if found.is_dir()
        and not any(found.iterdir())
        and found.relative_to(path) not in UNHASHED
    )


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the report of a bundle."""
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    path = folder / REPORT
    with writing(path):
        path.write_text(text, encoding="utf-8")


def read_report(folder: Path, sha256: str | None = None) -> dict[str, Any]:
    """Return the report of a bundle that has an artifact.

    Args:
        folder: the bundle.
        sha256: the expected hash of the report, which has the hashes of all
            other files. Defaults to `None`: any.

    Raises:
        RequestError: if there is no report, one without artifacts, or one of
            a later version.
        ArtifactError: if it is damaged, or has another hash.
    """
    from keras_inception_export.bundle.schema import checked

    path = folder / REPORT
    if not path.is_file():
        raise RequestError(
            f"{folder} is not a bundle: expected a folder with a {REPORT}, as "
            "`keras-inception export` writes it"
        )
    with reading(path, "is damaged", "export the model again"):
        check_expansion(path.stat().st_size, 0, MAX_REPORT, "expected less")
        content = path.read_bytes()
        found = hashlib.sha256(content).hexdigest()
        if sha256 is not None and found != sha256.lower():
            raise ArtifactError(
                f"{path} has the SHA-256 {found}, expected {sha256}; nothing "
                "was opened"
            )
        return checked(json.loads(content))


def is_only_a_bundle(folder: Path) -> bool:
    """Return whether a folder is empty, or has only what an export writes."""
    if not folder.is_dir():
        return False
    found = set(folder.iterdir())
    if not found:
        return True
    try:
        report = read_report(folder)
    except ExportError:
        return False
    written = {folder / REPORT}
    for role in FILES:
        written.add(folder / report.get(role, {}).get("path", f"{role}.npz"))
    for artifact in report["artifacts"]:
        path = folder / artifact["path"]
        written.update([path] if path.is_dir() else files_of(path))
    return found <= written


def identity(folder: Path) -> tuple[int, int] | None:
    """Return what changes when another bundle takes the place of a bundle."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def check_unchanged(path: Path, sha256: str | None, effect: str) -> None:
    """Raise ArtifactError unless a file is the one that was published.

    Args:
        path: a file of a bundle, or the folder of an artifact.
        sha256: its hash in the report.
        effect: what follows if it is another one.
    """
    if not path.exists():
        raise ArtifactError(f"{path} is missing; export the model again")
    is_readable = path.is_file() or path.is_dir()
    if not is_readable or sha256_of(path) != sha256:
        raise ArtifactError(
            f"{path} is not the file that was published (its hash differs), "
            f"so {effect}; export the model again"
        )


def check_published(path: Path) -> dict[str, Any] | None:
    """Return the report's entry of an artifact; None outside of a bundle.

    Raises:
        ArtifactError: if it is not the file that was published.
    """
    try:
        report = read_report(path.parent)
    except ExportError:
        return None
    for artifact in report["artifacts"]:
        if artifact["path"] == path.name:
            check_unchanged(path, artifact["sha256"], "it is not opened")
            return artifact
    return None


def entry(folder: Path, name: str) -> dict[str, str]:
    """Return the entry of a file in the report of its bundle."""
    return {"path": name, "sha256": sha256_of(folder / name)}


def published(folder: Path, report: Mapping, role: str) -> Path:
    """Return the path of a bundle's probes or layer references, unchanged."""
    facts = report.get(role, {})
    path = folder / facts.get("path", f"{role}.npz")
    check_unchanged(
        path, facts.get("sha256"), "nothing can be verified with it"
    )
    return path


def probe_ranges(folder: Path) -> dict[str, tuple[float, float]]:
    """Return the range of each input in the usual probes of a bundle.

    There is none if the folder is no bundle, or one whose probes are damaged.
    """
    from keras_inception_export.data.npz import read_arrays

    ends: dict[str, list[float]] = {}
    with contextlib.suppress(ExportError):
        path = published(folder, read_report(folder), "probes")
        with reading(path):
            arrays = read_arrays(path)
            for index, regime in enumerate(arrays["regimes"].tolist()):
                feeds = f"feeds/{index}/"
                for key, array in arrays.items():
                    if regime in USUAL and key.startswith(feeds):
                        found = [float(array.min()), float(array.max())]
                        ends.setdefault(key[len(feeds) :], []).extend(found)
    return {name: (min(found), max(found)) for name, found in ends.items()}


def _file_hash(path: Path) -> str:
    check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
