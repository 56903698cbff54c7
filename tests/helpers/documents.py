"""The documents that `--json` prints, checked against their schema."""

import json
from pathlib import Path

import jsonschema

SCHEMA = Path(__file__).parents[2] / "docs/command_line.schema.json"


def parse_document(text):
    """Return a document; fail if the published schema does not allow it."""

    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    document = json.loads(text, parse_constant=refuse)
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["ok"] == (document["exit_code"] == 0)
    assert document["ok"] == (document["error"] is None)
    return document
