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

    Args:
        summary: for the list of commands.
        usage: what follows the name of the command.
        description: what it does.
        arguments: by the name of their group.
        examples: commands, one per line, without the name of the program.
        files: what it reads and writes, one per line.
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
--model NETWORK|  a network at its defaults with seeded random weights:
    {", ".join(NETWORKS)}
{IMPORT}
""",
            "bundle": f"""
--output DIR!  the folder to create
--format FORMAT,...  any of {", ".join(FORMATS)}; may be repeated; default
    {", ".join(DEFAULT_FORMATS)}
--opset N=18  ONNX opset; default 18
--batch-size N  samples per call; default any number
--overwrite  replace an existing bundle after the new one is verified
--force  try an export that needs more memory or disk space than there is, by
    an estimate
--report  add an HTML page, as keras-inception report writes it
""",
            "data": f"""
--samples INPUTS  data to verify on, as for predict: a folder of images, in one
    folder per class if labelled, .npy, .npz with x (and labels y), .parquet or
    .tar, or a pattern in quotes; default seeded random inputs
--preprocess PRESET  how images become inputs, for samples and in every
    artifact: none (0 to 255), unit (0 to 1), tf, torch, caffe, or a .json file;
    default as the published weights of a network of this package expect, none
    if the model scales pixels itself, otherwise unknown
{SCALE.strip()}
--pixels  let the artifacts take uint8 pixels, and compute the preprocessing
    themselves
--labels FILE  the names of the classes, one per line or a .json list; default
    the names of the classes of the samples
""",
            "quantization: TFLite and ONNX artifacts in addition to the float "
            "ones, calibrated on some of the samples and measured on the "
            "others": f"""
--quantize SCHEME,...  any of {", ".join(SCHEMES)}; may be repeated
--quantized-io DTYPE  int8 or uint8, for the inputs and outputs of the int8
    artifacts; default float32
--calibration-samples N  samples to calibrate on, at most half of them; default
    {CALIBRATION_SAMPLES}
--min-agreement FRACTION  fraction of the other samples that must get the same
    class as from Keras; default {MIN_AGREEMENT}
--max-accuracy-drop FRACTION  by how much the fraction of correctly classified
    samples may fall; default {MAX_ACCURACY_DROP}
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
        "Run an artifact, or one of a bundle, with the runtime of its format. "
        "Images become inputs as the artifact says. An input that cannot be "
        "read is reported, and does not stop the others.",
        {
            "artifact": f"""
ARTIFACT_OR_BUNDLE  the artifact, or a bundle that has it
--format FORMAT  the artifact of a bundle, any of {", ".join(FORMATS)}; default
    the first of {", ".join(FASTEST_FIRST)} whose runtime is installed
--scheme SCHEME  its quantization, any of {", ".join(SCHEMES)}; default float32
""",
            "inputs": f"""
INPUT+  images, folders of images, patterns such as "photos/**/*.jpg", .npy,
    .npz with one array per input, .parquet with a column of images, or .tar
    with images
--preprocess PRESET  how images become inputs, where the artifact does not say
    it or to override it: none (0 to 255), unit (0 to 1), tf, torch, caffe, or
    a .json file
{SCALE.strip()}
""",
            "results": """
--output FILE  write the results to this .csv, .jsonl, .parquet, or the whole
    outputs to this .npz
--resume  go on with the --output of an interrupted run, .csv or .jsonl
--top N=3  classes shown or written per output; default 3
""",
            "workers": """
--engine ENGINE=local  local, or ray: the workers of a Ray cluster; default
    local
--workers N  workers of the engine ray, with one core each; default all cores
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
        "compare the speed of the artifacts of a bundle with Keras",
        "BUNDLE [OPTION ...]",
        "Measure the speed of every artifact of a bundle and of Keras on this "
        "machine's CPU. Each runs in its own process; in every round each is "
        "measured once, in random order.",
        {
            "model": f"""
BUNDLE  the folder
--keras FILE.keras  the model; default the file that was exported
{IMPORT}
""",
            "measurement": """
--batch-size N  samples per call; default that of the artifacts, or 1
--threads N  threads per process; default all cores
--rounds N=20  measurements of each, at least 0.2 s or two calls; default 20
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
--all  show every layer, not only the relevant ones
"""
        },
        "diagnose dist/digits\ndiagnose dist/digits --all",
    ),
    "report": Page(
        "write what is known about a bundle as an HTML page",
        "BUNDLE [OPTION ...]",
        "Write one HTML page that needs no other file and no network: the "
        "model, the verification of each artifact, sizes and speeds, and how "
        "to load the artifacts.",
        {
            "bundle": """
BUNDLE  the folder
--output FILE  the page to write; default one beside the bundle
--samples INPUTS  data as for export, of which the page shows the samples on
    which the artifacts disagree
--benchmark FILE  what keras-inception benchmark --json printed
"""
        },
        """
report dist/digits
report dist/digits --samples photos --benchmark benchmark.json
""",
    ),
    "info": Page(
        "show inputs, outputs, sizes and provenance",
        "FILE_OR_DIR [OPTION ...]",
        "Describe a bundle, an artifact or a .keras file. Nothing that it "
        "contains is run.",
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
        "print a script that completes commands in a shell",
        "SHELL [OPTION ...]",
        "Print a script with which a shell completes the commands, options, "
        "their values and files. Put the line for your shell in the file "
        "beside it.",
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
NO_COLOR  no colours, if it is set and not empty
TERM  dumb: no colours, and lines instead of a live progress
COLUMNS  the width of tables on a terminal; default its own
TMPDIR  the folder for temporary files
""",
}
"""The last sections of every page."""

EXAMPLES = """
export digits.keras --output dist/digits
predict dist/digits photos
help export
"""
