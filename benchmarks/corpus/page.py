"""The results of the corpus as a page, `docs/supported_layers.md`."""

import json
from collections import Counter, defaultdict
from importlib import metadata
from pathlib import Path

TITLES = {"onnx": "ONNX", "tflite": "TFLite", "saved_model": "SavedModel"}
EXPORTERS = {"ours": "ours", "keras": "Keras"}
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


PARTS = {
    "layers": ("Layers", ""),
    "applications": (
        "keras.applications",
        "At their default sizes, with random weights; VGG without its dense "
        "layers.\n",
    ),
    "hub": ("keras-hub", "Small models with random weights.\n"),
}
"""The title of each part of the corpus, and what is in it."""


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
    formats = _formats(records)
    text = HEAD + _versions()
    for part, (title, about) in PARTS.items():
        if not (found := [x for x in records if x["part"] == part]):
            continue
        text += f"\n## {title}\n\n"
        if part == "layers":
            text += _totals(found, formats) + "\n" + _rows(found, formats)
        else:
            text += about + MEASURED + _measured(found)
        text += _reasons(found)
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
        [TITLES[name], title, *(counts[name, exporter, x] for x in STATUSES)]
        for name in formats
        for exporter, title in EXPORTERS.items()
    ]
    return _table(["format", "exporter", *STATUSES], rows)


def _rows(records, formats) -> str:
    """Return how many configurations of each layer are right."""
    counts: dict = defaultdict(Counter)
    for x in records:
        counts[x["row"], x["format"], x["exporter"]][x["status"]] += 1
    rows = sorted({x["row"] for x in records})
    return _grid("right, of", rows, formats, lambda *key: _count(counts[key]))


def _grid(corner, rows, formats, cell) -> str:
    """Return a table with a pair of columns, ours and Keras's, per format."""
    columns = [(name, exporter) for name in formats for exporter in EXPORTERS]
    header = [y for x in formats for y in (TITLES[x], "by Keras")]
    return _table(
        [corner, *header],
        [[row, *(cell(row, *column) for column in columns)] for row in rows],
    )


def _formats(records) -> list[str]:
    found = {x["format"] for x in records}
    return [name for name in TITLES if name in found]


def _count(counter) -> str:
    total = counter.total()
    if not total:
        return "-"
    others = [f"{counter[x]} {x}" for x in STATUSES[2:] if counter[x]]
    return ", ".join([f"{counter['right']} of {total}", *others])


def _measured(records) -> str:
    """Return the error and the seconds of each model."""
    found = {(x["row"], x["format"], x["exporter"]): x for x in records}

    def cell(*key):
        record = found.get(key)
        if record is None:
            return "-"
        if record["status"] != "right":
            return record["status"]
        return f"{record['error']:.0e}, {record['cpu']:.0f} s"

    rows = dict.fromkeys(x["row"] for x in records)
    return _grid("", rows, _formats(records), cell)


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
