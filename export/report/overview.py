"""What a reader wants first and last: the verdict, the origin, and the use."""

import json
from functools import partial
from typing import Any

from keras_inception_export.report import network
from keras_inception_export.report.facts import Facts


def verdict(facts: Facts) -> dict[str, Any]:
    """Return what is verified, and how far that goes."""
    report = facts.report
    quantized = [x for x in report["artifacts"] if x.get("quantization")]
    measured = [m for x in quantized for m in x["measured"]]
    return {
        "passed": report.get("passed", True)
        and all(x.get("passed", True) for x in report["artifacts"])
        and all(p["passed"] for x in report["artifacts"] for p in x["parity"]),
        "count": len(report["artifacts"]),
        "quantized": len(quantized),
        "probes": sum(report["probes"]["regimes"].values()),
        "agreement": min(
            (m["agreement"] for m in measured if m["agreement"] is not None),
            default=None,
        ),
    }


def structure(facts: Facts) -> dict[str, Any] | str:
    """Return the network as boxes and branches."""
    steps = facts.report.get("structure")
    if not steps:
        return (
            "The bundle does not have the structure of the network: an "
            "earlier version wrote it."
        )
    return {"items": network.layout(steps)}


def use(facts: Facts) -> dict[str, Any]:
    """Return three lines per artifact that run it."""
    quoted = partial(json.dumps, ensure_ascii=False)
    programs = []
    for name, entry in facts.artifacts:
        path = f"{facts.folder.resolve().name}/{entry['path']}"
        inputs = [spec["name"] for spec in entry["inputs"]]
        if not all(x.isidentifier() for x in inputs):
            inputs = [f"array_{i + 1}" for i in range(len(inputs))]
        output = quoted(entry["outputs"][0]["name"])
        lines = [
            "from keras_inception_export import load_artifact",
            f"run = load_artifact({quoted(path)})",
            f"run({', '.join(inputs)})[{output}]",
        ]
        programs.append((name, lines))
    return {"programs": programs}
