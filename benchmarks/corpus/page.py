"""The results of the corpus as a page."""

import json


def read(path) -> dict:
    """Return the last result per part, name, format and exporter."""
    results = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            keys = ("part", "name", "format", "exporter")
            results[tuple(record[key] for key in keys)] = record
    return results


def render(results) -> str:
    return ""
