"""Write what is known about a bundle as one HTML file that needs no other."""

import os
from pathlib import Path
from typing import Any

from keras_inception_export.bundle.publication import replaced
from keras_inception_export.errors import (
    RequestError,
    check_regular,
    missing,
    writing,
)
from keras_inception_export.report.facts import gather
from keras_inception_export.report.page import START, render


def write_report(
    bundle: str | Path,
    output: str | Path | None = None,
    *,
    samples: Any = None,
    benchmark: Any = None,
) -> Path:
    """Write a report on a bundle as one HTML file.

    Args:
        bundle: a bundle that `export_model` wrote.
        output: the file to write, outside of the bundle. Defaults to `None`:
            beside the bundle, with its name and `.html`.
        samples: data to run the artifacts on, in any form that `export_model`
            takes. Defaults to `None`: nothing is run.
        benchmark: what `benchmark` returned, or the path of a file with the
            output of `keras-inception benchmark --json`. Defaults to `None`.

    Returns:
        The path of the file.

    Raises:
        RequestError: if `bundle` is not a bundle, if `samples` or `benchmark`
            do not fit it, or if `output` is in it or cannot be written.
        RuntimeMissingError: if Jinja or matplotlib is not installed.
        ArtifactError: if a file of the bundle is not the one that was
            published.

    Example:

        write_report("dist/digits", samples="photos")
    """
    folder = Path(bundle)
    path = checked_path(folder, output)
    text = render(gather(folder, samples, benchmark))
    with replaced(path) as part, writing(path):
        part.write_text(text, encoding="utf-8")
    return path


def checked_path(folder: Path, output: str | Path | None = None) -> Path:
    """Return the path to write, after checking that a report can be written."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise missing("the report", error.name or "", error) from error
    inside = Path(os.path.realpath(folder))
    path = Path(output) if output else inside.with_name(f"{inside.name}.html")
    if Path(os.path.realpath(path)).is_relative_to(inside):
        raise RequestError(
            f"{path} is in the bundle, which contains only what the export "
            "wrote; give a path outside of it"
        )
    if path.is_dir():
        raise RequestError(f"{path} is a folder, expected the path of a file")
    if os.path.lexists(path):
        check_regular(path)
        with writing(path), path.open("rb") as file:
            is_report = file.read(len(START)) == START.encode()
        if not is_report:
            raise RequestError(
                f"{path} exists and is not such a report; remove it, or give "
                "another path"
            )
    return path
