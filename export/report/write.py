"""Write what is known about a bundle as one HTML file that needs no other."""

from pathlib import Path
from typing import Any


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
    raise NotImplementedError
