"""The schema of a report as a page of the documentation, `docs/report.md`.

`python -m keras_inception_export.bundle.schema_page` prints it.
"""

import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from keras_inception_export.bundle.schema import VERSION, Report


def fields(
    part: type[BaseModel] = Report, prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield every key of a report, as `artifacts[].path`, and its meaning."""
    for name, field in part.model_fields.items():
        # A cell of a table is one line.
        yield f"{prefix}{name}", " ".join((field.description or "").split())
        for model, is_list in _models(field.annotation):
            if model is not part:  # a step has steps
                yield from fields(model, f"{prefix}{name}{'[]' * is_list}.")


def _models(annotation: Any) -> Iterator[tuple[type[BaseModel], bool]]:
    """Yield the parts that a value may be, and whether they are in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, False
    for inner in typing.get_args(annotation):
        for model, is_list in _models(inner):
            yield model, is_list or typing.get_origin(annotation) is list


def document() -> str:
    """Return the page of the documentation that describes a report."""
    rows = "\n".join(f"| `{name}` | {text} |" for name, text in fields())
    return f"""# `report.json`

Every bundle has a file `report.json` with what was exported and how it was
verified. This page lists its keys, in version {VERSION} of the schema
(`schema_version`; a report without this key has version 1). Every command
checks the report before it opens anything else, and ignores unknown keys.
`python -m keras_inception_export.bundle.schema_page` prints this page.

| key | meaning |
| --- | --- |
{rows}
"""


if __name__ == "__main__":
    print(document(), end="")
