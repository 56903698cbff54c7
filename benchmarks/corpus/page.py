"""The results of the corpus as a page, `docs/supported_layers.md`."""

import json
from collections import Counter, defaultdict
from importlib import metadata
from pathlib import Path

TITLES = {"onnx": "ONNX", "tflite": "TFLite", "saved_model": "SavedModel"}
STATUSES = ("right", "refused", "wrong", "crashed")
PACKAGES = (
    "keras",
    "tensorflow",
    "tf2onnx",
    "onnxruntime",
    "ai-edge-litert",
    "keras-hub",
)

HEAD = """\
# Supported layers

This page shows which layers can be exported to which format, by this project
("ours") and by `keras.Model.export` ("Keras"). Below the table of layers, "Not
right, and why" lists what each format cannot express.

For every distinct layer configuration in Keras's own tests, a model with random
weights was exported. For each class, the first configuration that can be built
for unknown sizes was also exported with unknown sizes. The bare runtime ran
each artifact on inputs that the exporter did not choose: around 0, from 0 to 1,
negative, large, pixels, zeros, constant, with columns of different magnitude,
of odd and unequal sizes, and integers over the whole range that the model
accepts. Every value was compared with the live model in float32.

- right: every value agrees, within the rounding of float32, or of the float16
  or bfloat16 in which the model itself computes.
- refused: not exported, with a message that says why.
- wrong: a value differs, or the runtime cannot run the artifact.
- crashed: an exception other than the exporter's own, or no result.

`python benchmarks/keras_corpus.py --page docs/supported_layers.md` writes this
page.

"""


MEASURED = """\
The table shows the largest error, relative to the largest value of its column
or of the median column, and the processor time of the export. Ours includes the
verification.

"""


def read(path: Path) -> dict:
    """Return the last result per part, name, format and exporter."""
    results = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            keys = ("part", "name", "format", "exporter")
            results[tuple(record[key] for key in keys)] = record
    return results


def render(results: dict) -> str:
    """Return the page, of what can be built and was run by both exporters."""
    run = Counter((x["part"], x["name"], x["format"]) for x in results.values())
    records = [
        x
        for x in results.values()
        if x["status"] in STATUSES
        and run[x["part"], x["name"], x["format"]] == 2
    ]
    formats = [x for x in TITLES if any(r["format"] == x for r in records)]
    parts = {
        part: [x for x in records if x["part"] == part]
        for part in ("layers", "applications", "hub")
    }
    text = HEAD + _versions()
    if parts["layers"]:
        text += "\n## Layers\n\n" + _totals(parts["layers"], formats)
        text += "\n" + _rows(parts["layers"], formats)
        text += _reasons(parts["layers"])
    if parts["applications"]:
        text += (
            "\n## keras.applications\n\nAt their default sizes, with random "
            "weights; VGG without its dense layers.\n" + MEASURED
        )
        text += _measured(parts["applications"], formats)
        text += _reasons(parts["applications"])
    if parts["hub"]:
        text += (
            "\n## keras-hub\n\nSmall models with random weights.\n" + MEASURED
        )
        text += _measured(parts["hub"], formats) + _reasons(parts["hub"])
    return text


def _versions() -> str:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return f"Run with {', '.join(found)}.\n"


def _totals(records, formats) -> str:
    """Return the number of results of each kind."""
    counts = Counter((x["format"], x["exporter"], x["status"]) for x in records)
    rows = [
        [TITLES[name], exporter, *(counts[name, who, x] for x in STATUSES)]
        for name in formats
        for who, exporter in (("ours", "ours"), ("keras", "Keras"))
    ]
    return _table(["format", "exporter", *STATUSES], rows)


def _rows(records, formats) -> str:
    """Return how many configurations of each layer are right."""
    counts: dict = defaultdict(Counter)
    for x in records:
        counts[x["row"], x["format"], x["exporter"]][x["status"]] += 1
    rows = [
        [
            layer,
            *(
                _count(counts[layer, name, exporter])
                for name in formats
                for exporter in ("ours", "keras")
            ),
        ]
        for layer in sorted({x["row"] for x in records})
    ]
    header = [y for x in formats for y in (TITLES[x], "by Keras")]
    return _table(["right, of", *header], rows)


def _count(counter) -> str:
    total = counter.total()
    if not total:
        return "-"
    others = [f"{counter[x]} {x}" for x in STATUSES[2:] if counter[x]]
    return ", ".join([f"{counter['right']} of {total}", *others])


def _measured(records, formats) -> str:
    """Return the error and the seconds of each model."""
    found = {(x["row"], x["format"], x["exporter"]): x for x in records}
    formats = [x for x in formats if any(r["format"] == x for r in records)]

    def cell(record):
        if record is None:
            return "-"
        if record["status"] != "right":
            return record["status"]
        return f"{record['error']:.0e}, {record['cpu']:.0f} s"

    rows = [
        [
            row,
            *(
                cell(found.get((row, name, exporter)))
                for name in formats
                for exporter in ("ours", "keras")
            ),
        ]
        for row in dict.fromkeys(x["row"] for x in records)
    ]
    header = [y for x in formats for y in (TITLES[x], "by Keras")]
    return _table(["", *header], rows)


def _reasons(records) -> str:
    """Return why our exports are not right, one line per reason."""
    reasons: dict = defaultdict(list)
    for x in records:
        if x["exporter"] == "ours" and x["status"] != "right":
            key = (x["row"], x["status"], x.get("detail", ""))
            reasons[key].append(x["format"])
    lines = [
        f"- {row}, {', '.join(dict.fromkeys(TITLES[x] for x in formats))}, "
        f"{status}: {' '.join(detail.split())}"
        for (row, status, detail), formats in sorted(reasons.items())
    ]
    return (
        "\nNot right, and why:\n\n" + "\n".join(lines) + "\n" if lines else ""
    )


def _table(header, rows) -> str:
    def line(cells):
        return "| " + " | ".join(map(str, cells)) + " |\n"

    return "".join(map(line, [header, ["---"] * len(header), *rows]))
