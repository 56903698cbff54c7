"""The numbers of a report: verification, layers, cost, and classes."""

import math
from functools import partial
from typing import Any

import numpy as np

from keras_inception_export.quantization import metrics
from keras_inception_export.report import figures
from keras_inception_export.report.facts import Facts
from keras_inception_export.report.samples import GALLERY

WORST_LAYERS = 25
"""Layers with channels that no probe moves, which are drawn."""


def verification(facts: Facts) -> dict[str, Any]:
    """Return every comparison beside its tolerance, and the probes."""
    rows, measured = (
        [
            {"artifact": name, **record}
            for name, entry in facts.artifacts
            for record in entry[key]
        ]
        for key in ("parity", "measured")
    )
    several = len({row["output"] for row in rows}) > 1

    def label(row: dict[str, Any]) -> str:
        output = f": {row['output']}" if several else ""
        return f"{row['artifact']}{output}"

    layers = [
        {**layer, "share": layer["moved"] / layer["channels"]}
        for layer in facts.report["coverage"]["layers"]
    ]
    worst = sorted(
        (x for x in layers if x["share"] < 1), key=lambda x: x["share"]
    )[:WORST_LAYERS]
    return {
        "rows": rows,
        "figure_svg": figures.dots(
            [
                (
                    label(row),
                    *(
                        math.inf if row[x] is None else row[x]
                        for x in ("max_error", "tolerance")
                    ),
                    row["passed"],
                )
                for row in rows
            ]
        ),
        "measured": measured,
        "measured_figure": measured
        and figures.bars(
            [(label(x), max(x["snr_db"], 0)) for x in measured],
            "signal to noise on the samples, in dB",
            [f"{x['snr_db']:.1f}" for x in measured],
        ),
        "layers": layers,
        "worst": worst
        and figures.bars(
            [(x["layer"], 100 * x["share"]) for x in worst],
            "channels that a probe moves, in percent",
            [f"{x['moved']} of {x['channels']}" for x in worst],
        ),
    }


def layers(facts: Facts) -> dict[str, Any] | str:
    """Return the error of each layer's output in each artifact."""
    references = facts.references
    if isinstance(references, str):
        return references
    found = {
        name: references.artifacts[entry["path"]]
        for name, entry in facts.artifacts
        if entry["path"] in references.artifacts
    }
    if not any(x for locations in found.values() for x in locations):
        return "No runtime of these artifacts shows the outputs of layers."
    errors = {
        name: [x.error if x else math.nan for x in locations]
        for name, locations in found.items()
    }
    keras = [layer.keras_error for layer in references.layers]
    series = [*errors.items(), ("Keras in float32", keras)]
    quantized = {name for name, x in facts.artifacts if x.get("quantization")}
    groups = {
        "float32 artifacts, and Keras in float32": [
            x for x in series if x[0] not in quantized
        ],
        "quantized artifacts": [x for x in series if x[0] in quantized],
    }
    names = [layer.layer for layer in references.layers]
    return {
        "groups": {
            group: figures.lines(members, "error, relative to the range")
            for group, members in groups.items()
            if members
        },
        "series": [name for name, _ in series],
        "rows": [
            (name, [values[i] for _, values in series])
            for i, name in enumerate(names)
        ],
        "hidden": [name for name, _ in facts.artifacts if name not in found],
    }


def cost(facts: Facts) -> dict[str, Any]:
    """Return the sizes and, if they were measured, the latencies."""
    sizes = [(name, entry["bytes"]) for name, entry in facts.artifacts]
    largest = max(size for _, size in sizes)
    units = {"MB": 1e6, "kB": 1e3, "bytes": 1}
    unit = next((x for x in units if largest >= units[x]), "bytes")
    factor = units[unit]
    rows = [] if isinstance(facts.benchmark, str) else facts.benchmark.rows
    return {
        "size_figure": figures.bars(
            [(name, size / factor) for name, size in sizes],
            f"size in {unit}",
            [f"{size / factor:,.3g}" for _, size in sizes],
        ),
        "latency": facts.benchmark,
        "latency_figure": rows
        and figures.bars(
            [(row.name, row.p50_ms) for row in rows],
            "median latency in milliseconds",
            [f"{row.p50_ms:.3g}" for row in rows],
        ),
    }


def classes(facts: Facts) -> dict[str, Any] | str:
    """Return confusion matrices: those of the export, else of the samples."""
    recorded = _recorded(facts)
    found = recorded or _computed(facts)
    if not found:
        return (
            "There is no confusion matrix. It needs samples with labels, given "
            "to the report, or to an export that quantizes."
        )
    outputs = []
    for output, matrices in found.items():
        first = next(iter(matrices.values()))
        names = facts.labels.get(output, ())
        if len(names) != len(first):
            names = tuple(f"class {i}" for i in range(len(first)))
        outputs.append(
            {
                "output": output,
                "labels": names,
                "matrices": [
                    {
                        "artifact": name,
                        "counts": counts,
                        "right": int(np.trace(counts)),
                        "total": int(np.sum(counts)),
                        "figure": figures.matrix(counts, names),
                    }
                    for name, counts in matrices.items()
                ],
            }
        )
    return {"outputs": outputs, "recorded": bool(recorded)}


Matrices = dict[str, dict[str, list[list[int]]]]
"""Per output and artifact, a confusion matrix."""


def _recorded(facts: Facts) -> Matrices:
    """Return the matrices that the export recorded, Keras first."""
    evaluation = facts.report["evaluation"] or {}
    found: Matrices = {}
    for output, counts in evaluation.get("keras_confusion", {}).items():
        found[output] = {"Keras": counts}
    for name, entry in facts.artifacts:
        for record in entry["measured"] if entry.get("quantization") else ():
            if record.get("confusion") and record["output"] in found:
                found[record["output"]][name] = record["confusion"]
    return found


def _computed(facts: Facts) -> Matrices:
    """Return the matrices of the samples that the report was given."""
    results = facts.samples
    if isinstance(results, str) or results.samples.labels is None:
        return {}
    found: Matrices = {}
    labels = results.samples.labels
    for output, scores in results.scores.items():
        for name, predicted in results.classes(output).items():
            if not metrics.fits_labels(scores[name], labels):
                continue
            width = scores[name].shape[1]
            counts = metrics.confusion(predicted, labels, width)
            if counts:
                found.setdefault(output, {})[name] = counts
    return found


def gallery(facts: Facts) -> dict[str, Any] | str:
    """Return the samples that artifacts give other classes."""
    results = facts.samples
    if isinstance(results, str):
        return results
    outputs, labels = [], results.samples.labels
    for output in results.scores:
        text = partial(facts.class_name, output)
        rows = results.disagreements(output)
        predicted = results.classes(output)
        outputs.append(
            {
                "output": output,
                "count": len(rows),
                "artifacts": len(predicted),
                "samples": [
                    {
                        "row": int(row),
                        "picture": results.picture(row),
                        "label": None if labels is None else text(labels[row]),
                        "classes": [
                            (
                                name,
                                text(found[row]),
                                labels is None or found[row] == labels[row],
                            )
                            for name, found in predicted.items()
                        ],
                    }
                    for row in rows[:GALLERY]
                ],
            }
        )
    if not outputs:
        return "No output has scores of classes, so there is no gallery."
    return {
        "outputs": outputs,
        "total": len(results.samples),
        "missing": results.missing,
    }
