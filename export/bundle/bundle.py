"""A bundle: the folder of artifacts and a report that an export publishes.

The report has a hash of every file.
"""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from keras_inception_export.data.reading import check_expansion, reading
from keras_inception_export.errors import (
    ArtifactError,
    ExportError,
    RequestError,
    check_regular,
    writing,
)
from keras_inception_export.formats.registry import FORMATS

_Read = TypeVar("_Read", bound=Callable[..., Any])

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
    lines = [f"{_file_hash(x)}  {_name(x, path)}\n" for x in files]
    lines += [f"{_name(x, path)}/\n" for x in _without_files(path)]
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest()


def _name(file: Path, artifact: Path) -> str:
    return file.relative_to(artifact.parent).as_posix()


def _without_files(path: Path) -> list[Path]:
    """Return what in a folder is neither a file nor a folder with content.

    That is an empty folder, a link to a folder, a pipe or a link to nothing.
    Bundles of version 0.1.0 have one that is not in the hash.
    """
    return sorted(
        found
        for found in path.rglob("*")
        if not found.is_file()
        and (
            found.is_symlink()
            or not found.is_dir()
            or not any(found.iterdir())
            and found.relative_to(path) not in UNHASHED
        )
    )


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the report of a bundle."""
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    path = folder / REPORT
    with writing(path):
        path.write_text(text, encoding="utf-8")


def read_report(folder: Path, sha256: str | None = None) -> dict[str, Any]:
    """Return the report of a bundle that has an artifact.

    `sha256` is its expected hash; it has the hashes of all other files.

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
        return checked(json.loads(content, object_pairs_hook=_unique))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, in which programs may read either of two."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object has a key twice")
    return found


def is_only_a_bundle(folder: Path) -> bool:
    """Return whether a folder is empty, or has only what an export writes.

    That is known by the names: a report may name any file as its own. In a
    SavedModel a model may have files of its own, which the hash includes. A
    companion is only that of an artifact that is as large as it was with it.
    """
    if not folder.is_dir():
        return False
    found = set(folder.iterdir())
    if not found:
        return True
    try:
        report = read_report(folder)
    except ExportError:
        return False
    files = {folder / REPORT, *(folder / f"{role}.npz" for role in FILES)}
    folders = set()
    for artifact in report["artifacts"]:
        record = FORMATS[artifact["format"]]
        path = folder / record.artifact_name(artifact.get("quantization"))
        files.add(path)
        if path.is_file() and record.nbytes(path) == artifact["bytes"]:
            files.update(record.files(path))
        if path.is_dir() and (
            record.has_only_its_files(path)
            or sha256_of(path) == artifact["sha256"]
        ):
            folders.add(path)
    return all(x in (folders if x.is_dir() else files) for x in found)


def identity(folder: str | Path) -> tuple[int, int] | None:
    """Return what changes when another bundle takes the place of a bundle."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def restarted_if_replaced(read: _Read) -> _Read:
    """Let a function of a bundle start over if the bundle was replaced.

    Otherwise the report of one could be compared with the files of another.
    """

    @functools.wraps(read)
    def call(folder: Path, *arguments: Any, **options: Any) -> Any:
        while True:
            before = identity(folder)
            try:
                result = read(folder, *arguments, **options)
            except ExportError:
                if identity(folder) == before:
                    raise
            else:
                if identity(folder) == before:
                    return result

    return cast("_Read", call)


def check_unchanged(path: Path, sha256: str, effect: str) -> None:
    """Raise ArtifactError unless a file or folder has the hash in the report.

    `effect` is what follows otherwise.
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
    """Return the entry of an unchanged artifact; None outside of a bundle.

    A damaged report beside probes is that of a bundle. Another `report.json`
    may be anything.
    """
    try:
        report = read_report(path.parent)
    except ExportError:
        if path.with_name(REPORT).exists() and path.with_name(PROBES).exists():
            raise
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
    path = folder / report[role]["path"]
    effect = "nothing can be verified with it"
    check_unchanged(path, report[role]["sha256"], effect)
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
