"""The commands, their arguments and help texts, as pages of a manual.

An argument is a line: its name, what it takes (whose kind is in
`cli/parser.py`) and a default; after two spaces its help text. `!` marks what
is required, `?` and `+` how many there may be, `|` those of which one is given.
"""

from typing import NamedTuple

from keras_inception_export.formats.registry import (
    DEFAULT_FORMATS,
    FASTEST_FIRST,
    FORMATS,
    SCHEMES,
)
from keras_inception_export.model.networks import NETWORKS
from keras_inception_export.options import (
    CALIBRATION_SAMPLES,
    MAX_ACCURACY_DROP,
    MIN_AGREEMENT,
)

DESCRIPTION = (
    "Export Keras models to SavedModel, TFLite, ONNX and OpenVINO, and verify "
    "that each artifact computes what the model computes."
)


class Page(NamedTuple):
    """The manual page of a command.

    `usage` follows the name of the command; `arguments` are by the name of
    their group; `examples` and `files` are one per line.
    """

    summary: str
    usage: str
    description: str
    arguments: dict[str, str]
    examples: str = ""
    files: str = ""


IMPORT = (
    "--import MODULE  a module that registers custom layers; may be repeated"
)
SCALE = """
--pixel-scale FACTOR  a preprocessing that only multiplies pixels of 0 to 255
    by this factor, such as 1/255
"""
OUTPUT = """
--json  print one JSON document, also after an error
--debug  show tracebacks and the logs of all libraries
"""

PAGES = {
    "export": Page(
        "write a bundle of verified artifacts",
        "MODEL.keras --output DIR [OPTION ...]",
        "Write artifacts of a model in several formats, verify each against a "
        "float64 reference, and publish them together in a folder, the bundle. "
        "If one of them fails, nothing is published.",
        {
            "model": f"""
MODEL.keras?|  the model
--model NETWORK|  a network with its default arguments and seeded random
    weights: {", ".join(NETWORKS)}
{IMPORT}
""",
            "bundle": f"""
--output DIR!  the folder to create
--format FORMAT,...  any of {", ".join(FORMATS)}; may be repeated; default
    {", ".join(DEFAULT_FORMATS)}
--opset N=18  ONNX opset; default 18
--batch-size N  samples per call; default any number
--overwrite  replace an existing bundle after the new one is verified
--force  try an export even if, by an estimate, it does not fit into memory or
    on the disk
--report  also write an HTML page beside the bundle, as keras-inception report
    does
""",
            "data": f"""
--samples INPUTS  your data, to verify on in addition to random inputs: a folder
    of images (with one subfolder per class if labelled), .npy, .npz with x (and
    labels y), .parquet or .tar, or a pattern in quotes
--preprocess PRESET  how images become inputs, for samples and in every
    artifact: none (0 to 255), unit (0 to 1), tf, torch, caffe, or a .json file;
    default as the published weights expect for a network of this package, none
    if the model scales pixels itself, otherwise unknown
{SCALE.strip()}
--pixels  let the artifacts take uint8 pixels and compute the preprocessing
    themselves
--labels FILE  the names of the classes, one per line or a .json list; default
    those of the samples, if they have any
""",
            "quantization: adds TFLite and ONNX artifacts, which are "
            "calibrated on some of the samples and measured on the "
            "others": f"""
--quantize SCHEME,...  any of {", ".join(SCHEMES)}; may be repeated
--quantized-io DTYPE  int8 or uint8, for the inputs and outputs of the int8
    artifacts; default float32
--calibration-samples N  samples to calibrate on, at most half of them; default
    {CALIBRATION_SAMPLES}
--min-agreement FRACTION  fraction of the other samples that must get the same
    class as from Keras; default {MIN_AGREEMENT}
--max-accuracy-drop FRACTION  by how much the accuracy on them may drop; default
    {MAX_ACCURACY_DROP}
""",
        },
        """
export digits.keras --output dist/digits
export digits.keras --output dist/digits --format onnx,tflite --report
export digits.keras --output dist/digits --samples photos --preprocess unit
export digits.keras --output dist/int8 --quantize int8 --samples digits.npz
export --model googlenet --output dist/googlenet
""",
        """
DIR/report.json  what was exported and verified
DIR/probes.npz  inputs and expected outputs, for verify
DIR/layer_references.npz  expected outputs of layers, for diagnose
DIR/saved_model, DIR/model.*  the artifacts
""",
    ),
    "verify": Page(
        "verify every artifact in a bundle again",
        "BUNDLE [OPTION ...]",
        "Run every artifact in a bundle again and compare it with the float64 "
        "reference. Needs only the runtimes.",
        {
            "bundle": """
BUNDLE  the folder
--sha256 HASH  expected SHA-256 of report.json, which has the hashes of all
    other files (default: any)
"""
        },
        "verify dist/digits\nverify dist/digits --json",
    ),
    "predict": Page(
        "run an artifact on images or other inputs",
        "ARTIFACT_OR_BUNDLE INPUT ... [OPTION ...]",
        "Run an artifact, or one of a bundle, on images or arrays. "
        "Images are preprocessed as the artifact says. An input that cannot be "
        "read is reported, and does not stop the others.",
        {
            "artifact": f"""
ARTIFACT_OR_BUNDLE  the artifact, or a bundle
--format FORMAT  which artifact of the bundle, any of {", ".join(FORMATS)};
    default the first of {", ".join(FASTEST_FIRST)} whose runtime is installed
--scheme SCHEME  its quantization, any of {", ".join(SCHEMES)}; default float32
""",
            "inputs": f"""
INPUT+  images, folders of images, patterns such as "photos/**/*.jpg", .npy,
    .npz with one array per input, .parquet with a column of images, or .tar
    with images
--preprocess PRESET  how images become inputs: none (0 to 255), unit (0 to 1),
    tf, torch, caffe, or a .json file; default as the artifact says
{SCALE.strip()}
""",
            "results": """
--output FILE  write the results to this .csv, .jsonl or .parquet file, or the
    complete outputs to this .npz file
--resume  continue the --output of an interrupted run, .csv or .jsonl
--top N=3  the number of best classes per output; default 3
""",
            "workers": """
--engine ENGINE=local  local, or ray for the workers of a Ray cluster; default
    local
--workers N  the number of workers of Ray, with one core each; default all cores
""",
        },
        """
predict dist/digits photos
predict dist/digits/model.onnx one.jpg --top 5
predict dist/digits "photos/**/*.jpg" --output results.csv
predict dist/digits "photos/**/*.jpg" --output results.csv --resume
""",
    ),
    "benchmark": Page(
        "compare the speed of the artifacts in a bundle with that of Keras",
        "BUNDLE [OPTION ...]",
        "Measure the speed of every artifact in a bundle and of Keras on the "
        "CPU of this machine. Each runs in its own process, and is measured "
        "once in every round, in random order.",
        {
            "model": f"""
BUNDLE  the folder
--keras FILE.keras  the Keras model; default the file that was exported
{IMPORT}
""",
            "measurement": """
--batch-size N  samples per call; default that of the artifacts, or 1
--threads N  threads per process; default all cores
--rounds N=20  measurements of each candidate, at least 6, each of at least
    0.2 s and two calls; default 20
--seed N=0  seed of the random order; default 0
""",
        },
        """
benchmark dist/digits --threads 1
benchmark dist/digits --json > benchmark.json
""",
    ),
    "diagnose": Page(
        "show the layer where an artifact starts to diverge",
        "BUNDLE [OPTION ...]",
        "Compare the output of every layer in each artifact with its expected "
        "values, and name the first layer that diverges.",
        {
            "bundle": """
BUNDLE  the folder
--all  show every layer, not only the most relevant ones
"""
        },
        "diagnose dist/digits\ndiagnose dist/digits --all",
    ),
    "report": Page(
        "write an HTML page about a bundle",
        "BUNDLE [OPTION ...]",
        "Write one HTML page that needs no other file and no network. It shows "
        "the model, the verification of each artifact, sizes and speeds, and "
        "how to load the artifacts.",
        {
            "bundle": """
BUNDLE  the folder
--output FILE  the page to write; default one beside the bundle
--samples INPUTS  data as for export; the page shows the samples on which the
    artifacts disagree
--benchmark FILE  the output of keras-inception benchmark --json, for latencies
"""
        },
        """
report dist/digits
report dist/digits --samples photos --benchmark benchmark.json
""",
    ),
    "info": Page(
        "show inputs, outputs, sizes and origin of a file or a bundle",
        "FILE_OR_DIR [OPTION ...]",
        "Describe a bundle, an artifact or a .keras file, without running "
        "anything in it.",
        {
            "file": """
FILE_OR_DIR  a bundle, an artifact or a .keras file
--code LANGUAGE  print a program that runs the artifact on images without this
    package: python, javascript or cpp
"""
        },
        """
info dist/digits
info dist/digits/model.onnx --code python > predict.py
""",
    ),
    "completion": Page(
        "print a script for completion in a shell",
        "SHELL [OPTION ...]",
        "Print a script that lets a shell complete commands, options, their "
        "values and files. Of the lines below, add the one for your shell to "
        "its file.",
        {"shell": "SHELL  bash, zsh or fish"},
        files="""
~/.bashrc  eval "$(keras-inception completion bash)"
~/.zshrc  eval "$(keras-inception completion zsh)"
~/.config/fish/config.fish  keras-inception completion fish | source
""",
    ),
    "help": Page(
        "show the help of a command",
        "[COMMAND]",
        "Show the help of a command, as COMMAND --help does.",
        {"command": "COMMAND?  any command; default a list of all"},
        "help export",
    ),
}

SECTIONS = {
    "exit codes": """
0  verified, or done
1  an artifact failed verification, or some of many inputs have no result
2  the request or the input is wrong, or nothing could be run
70  an internal error
128 + N  ended by signal N, such as 130 after Ctrl-C
""",
    "environment": """
NO_COLOR  no colors, if it is set and not empty
TERM  dumb: no colors, and plain lines instead of live progress
COLUMNS  the width of tables on a terminal; default its own
TMPDIR  the folder for temporary files
KERAS_INCEPTION_TIME_LIMIT  seconds that a runtime may take; default 60 or more
""",
}
"""The last sections of every page."""

EXAMPLES = """
export digits.keras --output dist/digits
predict dist/digits photos
help export
"""
