"""Hold what a report declares of an artifact against the artifact itself."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.formats.format import Runner
from keras_inception_export.formats.registry import format_of

ROLES = ("inputs", "outputs")


def difference(report: Mapping[str, Any], path: Path, runner: Runner) -> str:
    """Return the first thing that a report declares wrongly; "" if none.

    Args:
        report: the report of a bundle.
        path: an artifact of the bundle.
        runner: the opened artifact.
    """
    record = format_of(path)
    own, shared = record.read_metadata(path), report.get("metadata")
    (entry,) = (x for x in report["artifacts"] if x["path"] == path.name)
    found = {
        "format": record.name,
        "bytes": record.nbytes(path),
        **{x: [y.as_json() for y in getattr(runner, x)] for x in ROLES},
        "metadata": own and _comparable(own),
        "passed": True,
    }
    declared = {
        "format": entry["format"],
        "bytes": entry["bytes"],
        **{
            x: [TensorSpec.from_json(y).as_json() for y in entry[x]]
            for x in ROLES
        },
        "metadata": shared
        and _comparable(
            replace(
                Metadata.from_json(shared),
                model=report["model"]["name"],
                versions=report["versions"],
                quantization=entry.get("quantization"),
            )
        ),
        "passed": all(
            x.get("passed", True) for x in (report, entry, *entry["parity"])
        ),
    }
    real, expected = dict(_leaves(found)), dict(_leaves(declared))
    for key in {**real, **expected}:
        pair = real.get(key, "nothing"), expected.get(key, "nothing")
        # Another version of a runtime may know more sizes of outputs, or fewer.
        is_inferred = key.startswith("outputs.") and ".shape." in key
        if is_inferred and None in pair and "nothing" not in pair:
            continue
        if pair[0] != pair[1]:
            return f"has the {key} {pair[0]}; the report declares {pair[1]}"
    return ""


def _comparable(metadata: Metadata) -> dict[str, Any]:
    """Return metadata without shapes and dtypes, in which artifacts differ."""
    facts = metadata.as_json()
    for tensor in (*facts["inputs"], *facts["outputs"]):
        del tensor["shape"], tensor["dtype"]
    return facts


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what is in nested dictionaries and lists, each with its path."""
    if not value or not isinstance(value, (dict, list)):
        yield key, value
        return
    pairs: dict = value if isinstance(value, dict) else dict(enumerate(value))
    for name, item in pairs.items():
        yield from _leaves(item, f"{key}.{name}" if key else name)
