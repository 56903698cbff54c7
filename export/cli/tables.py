"""Format the results of the other subcommands for a terminal or as JSON."""

import os
import sys

from keras_inception_export.bundle.bundle import REPORT
from keras_inception_export.cli.layout import (
    Row,
    columns,
    fitted,
    grid,
    joined,
    padded,
)
from keras_inception_export.cli.output import write
from keras_inception_export.data.coverage import Coverage
from keras_inception_export.formats.registry import artifact_name
from keras_inception_export.logs import column_name, printable, size


def progress(line):
    """Print one step of a long command immediately."""
    write(printable(line), sys.stdout)


def export_summary(report, output):
    """Return the table and the verdict of `export`."""
    artifacts = report["artifacts"]
    checks = "Verified against float64"
    if any(artifact.get("quantization") for artifact in artifacts):
        checks += ", quantized artifacts measured,"
    lines = [
        "",
        *_artifacts(artifacts),
        *_evaluation(report),
        "",
        *_checked(report),
        f"{checks} and published in {output}",
    ]
    return joined(lines)


def _checked(report):
    """Return the lines on the inputs of the verification."""
    regimes, unused = report["probes"]["regimes"], report["probes"]["unused"]
    line = f"Probes: {sum(regimes.values())} inputs ({', '.join(regimes)})"
    if unused:
        line += f"; not used: {', '.join(unused)}"
    coverage = Coverage.from_json(report["coverage"])
    return [line, f"Coverage: {coverage.summary()}"]


def _evaluation(report):
    """Return the lines on what was measured on the user's samples."""
    evaluation = report.get("evaluation")
    if not evaluation:
        return []
    rows: list[Row] = [
        ("artifact", "output", "SNR", "error", "agreement", "accuracy")
    ]
    name = "Keras"
    for output, accuracy in evaluation["keras_accuracy"].items():
        rows.append((name, output, "", "", "", _percent(accuracy)))
        name = ""
    for artifact in report["artifacts"]:
        name = artifact_name(artifact)
        for record in artifact["measured"]:
            rows.append(
                (
                    name,
                    record["output"],
                    f"{record['snr_db']:.1f} dB",
                    error_text(record["max_error"]),
                    _percent(record["agreement"]),
                    _percent(record["accuracy"]),
                )
            )
            name = ""
            # Reports of earlier versions have no columns.
            if record.get("column") is not None:
                column = column_name(record["column"], record.get("axis"))
                worst = f"{record['column_snr_db']:.1f} dB"
                rows.append(("", column, worst, *[""] * 3))
        rows += _float_layers(artifact)
    return [
        "",
        f"Measured on {evaluation['evaluation']:,} samples, after calibration "
        f"on {evaluation['calibration']:,} others",
        *grid(rows, "<~>>>>"),
        *(f"Warning: {text}" for text in evaluation["warnings"]),
    ]


def _float_layers(artifact):
    kept = artifact["float_layers"]
    if not kept:
        return []
    cost, more = artifact["float_cost"], len(kept) - 3
    text = f"{size(cost['bytes'])} more"
    if cost["time"] is not None:
        text = f"{cost['time']:.2f} times the time, {text}"
    return [
        f"    {len(kept)} layers in float ({text}): {', '.join(kept[:3])}"
        + (f" and {more} more" if more > 0 else "")
    ]


def _percent(part):
    return "-" if part is None else f"{part:.2%}"


def error_text(number):
    """Return an error in two digits, if it is known."""
    return "-" if number is None else f"{number:.1e}"


def results_as_json(results):
    """Return what `verify --json` prints."""
    return {
        "artifacts": [
            {
                "format": result.format,
                "quantization": result.quantization,
                "parity": [record.as_json() for record in result.parity],
                "findings": list(result.findings),
                "not_run": result.missing or None,
                "passed": result.passed,
            }
            for result in results
        ],
        "passed": not any(result.findings for result in results)
        and any(result.passed for result in results),
    }


def verification(facts, folder, report):
    """Return the table and the verdict of `verify`."""
    rows: list[Row] = [("", "artifact", "", "output", "error", "allowed")]
    failed, passed = [], []
    for artifact in facts["artifacts"]:
        name, findings = artifact_name(artifact), artifact["findings"]
        failed += [name] * bool(findings)
        passed += [name] * artifact["passed"]
        if artifact["not_run"]:
            rows.append(f"-  {name}  not run: {artifact['not_run']}")
        rows += _rows(name, "", artifact["parity"])
        rows += [f"✗  {name}  {finding}" for finding in findings]
    lines = [*grid(rows, "<<>~>>"), "", *_checked(report)]
    if failed:
        lines += [f"{folder}: failed {', '.join(failed)}"]
    elif passed:
        lines += [f"{folder}: verified {', '.join(passed)}"]
    return joined(lines)


class Predictions:
    """The table of `predict`, of which each batch is printed as it comes.

    It shows the `top` classes per output, and names without the `root`.
    """

    def __init__(self, top, root):
        self._top, self._width = top, 0
        self._folders = [f"{x}/" for x in (root, os.path.dirname(root)) if x]

    def text(self, predictions):
        """Return the top classes, or the range, of each output per sample."""
        names = [fitted(self._short(x.name), 1 / 3) for x in predictions]
        self._width = max(self._width, *map(columns, names))
        lines = []
        for name, prediction in zip(names, predictions, strict=True):
            cells = [
                f"{fitted(output, 1 / 4)}  "
                f"{_values(prediction, output, self._top)}"
                for output in prediction.outputs
            ]
            lines += [
                f"{padded(name, self._width)}  {cell}"
                for cell in cells or [f"error: {prediction.error}"]
            ]
        return joined(lines)

    def _short(self, name):
        inside = (x for x in self._folders if name.startswith(x))
        return name.removeprefix(next(inside, ""))


def information(facts):
    """Return the lines of `info`."""
    if facts["kind"] == "bundle":
        return joined(_bundle(facts))
    lines = [
        f"{key:<14} {size(value) if key == 'bytes' else value}"
        for key, value in facts.items()
        if key not in ("inputs", "outputs", "metadata")
    ]
    return joined([*lines, *_specs(facts), *_metadata(facts)])


def _metadata(facts):
    if not facts.get("metadata"):
        return []
    from keras_inception_export.data.metadata import Metadata

    known = Metadata.from_json(facts["metadata"])
    return [f"{heading:<14} {text}" for heading, text in known.summary()]


def benchmark(result):
    """Return the table and the verdict of `benchmark`."""
    model, machine = result["model"], result["machine"]
    each = "images/s" if result["images"] else "samples/s"
    rows = [
        ("", "size", "p50 ms", "p90 ms", each, "speed", "")
        + ("error", "agreement", "accuracy"),
        *map(_times, result["rows"]),
        *(f"{x['name']}  -  {x['reason']}" for x in result["not_run"]),
    ]
    return joined(
        [
            "",
            f"{model['name']}, {model['parameters']:,} parameters, batch "
            f"{result['batch_size']}, threads {result['threads']}",
            f"{machine['processor']}, {machine['cores']} cores",
            "",
            *grid(rows, "<>>>>><>>>"),
            "",
            *_verdict(result),
        ]
    )


def _times(row):
    """Return the cells of a row of `benchmark`."""
    spread = (row["speed_high"] - row["speed_low"]) / 2
    return (
        row["name"],
        size(row["bytes"]),
        _digits(row["p50_ms"]),
        _digits(row["p90_ms"]),
        _digits(row["samples_per_second"]),
        f"{row['speed']:.2f}",
        f"± {spread:.2f}" if spread else "",
        error_text(row["error"]),
        _percent(row["agreement"]),
        _percent(row["accuracy"]),
    )


def _verdict(result):
    baseline = result["baseline"]
    lines = [
        f"speed: as a multiple of {baseline}'s, the median of "
        f"{result['rounds']} rounds ± half its 95 % interval",
        "",
    ]
    if not result["conclusive"]:
        lines.append("Too noisy to conclude:")
        lines += [f"- {doubt}" for doubt in result["doubts"]]
        return [*lines, "Stop other programs, or use more --rounds."]
    best = max(result["rows"], key=lambda row: row["speed"])
    if best["name"] == baseline:
        return [*lines, f"Nothing is faster than {baseline}."]
    speed = f"{best['speed']:.2f} times as fast as {baseline}"
    return [*lines, f"Fastest: {best['name']}, {speed}."]


def _digits(number):
    """Return a number with three digits, or without decimals if larger."""
    if number >= 100:
        return f"{number:.0f}"
    return f"{number:#.3g}".rstrip(".")


def _bundle(facts):
    model = facts["model"]
    versions = (f"{name} {x}" for name, x in facts["versions"].items())
    return [
        f"{'bundle':<14} {facts['path']}",
        f"{'model':<14} {model['name']}, {model['parameters']:,} parameters",
        f"{'from':<14} {model['keras_path'] or 'a model in memory'}",
        f"{'written with':<14} {', '.join(versions)}",
        *_specs(facts["artifacts"][0]),
        *_metadata(facts),
        "",
        *_artifacts(facts["artifacts"]),
        *_evaluation(facts),
        "",
        f"Figures of the export, from {REPORT}",
    ]


def _artifacts(artifacts):
    """Return the table of the published artifacts.

    No tolerance is set for a quantized artifact, which is measured on samples.
    """
    rows = [("", "artifact", "size", "output", "error", "allowed")]
    for artifact in artifacts:
        parity = artifact["parity"]
        if artifact.get("quantization"):
            parity = [record | {"tolerance": None} for record in parity]
        rows += _rows(artifact_name(artifact), size(artifact["bytes"]), parity)
    return grid(rows, "<<>~>>")


def _rows(name, size_text, parity):
    rows = []
    for record in parity:
        cells = (
            *("✓" if record["passed"] else "✗", name, size_text),
            *(record["output"], error_text(record["max_error"])),
            error_text(record["tolerance"]),
        )
        rows.append(cells)
        name = size_text = ""
    return rows


def _specs(facts):
    for role in ("inputs", "outputs"):
        for spec in facts.get(role, ()):
            shape = ("any" if n is None else str(n) for n in spec["shape"])
            name = fitted(spec["name"], 1 / 2)
            yield f"{role:<14} {name}: {spec['dtype']} ({', '.join(shape)})"


def _values(prediction, output, top):
    values = prediction.outputs[output]
    if values.ndim == 1 and len(values) > 1:
        return "  ".join(
            f"{label or f'class {index}'} {score:.4f}"
            for index, label, score in prediction.top(top, output)
        )
    if values.size == 1:
        return f"{values.item():.6g}"
    return (
        f"shape {values.shape}, {values.min():.4g} to {values.max():.4g}, "
        f"mean {values.mean():.4g}"
    )
