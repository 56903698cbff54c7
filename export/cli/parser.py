"""The arguments of the command and their help texts."""

import argparse
from fractions import Fraction

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


def make_parser():
    """Return the parser; its result names the subcommand in `command`."""
    parser = argparse.ArgumentParser(
        prog="keras-inception",
        description="Export Keras models to SavedModel, TFLite, ONNX and "
        "OpenVINO, and verify that each artifact computes what the model "
        "computes.",
        epilog="Exit codes: 0 verified; 1 an artifact failed verification; 2 "
        "the request or the input is wrong, or nothing could be run; 70 an "
        "internal error; 128 + N ended by signal N.",
    )
    commands = parser.add_subparsers(
        required=True, metavar="COMMAND", dest="command"
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json", action="store_true", help="print the result as JSON"
    )
    common.add_argument(
        "--debug",
        action="store_true",
        help="show tracebacks and the logs of all libraries",
    )
    images = argparse.ArgumentParser(add_help=False)
    images.add_argument(
        "--pixel-scale",
        type=_number,
        metavar="FACTOR",
        help="a preprocessing that only multiplies pixels of 0 to 255 by this "
        "factor, such as 1/255",
    )
    imports = argparse.ArgumentParser(add_help=False)
    imports.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that registers custom layers; may be repeated",
    )
    _add_export(commands, [common, images, imports])
    verify = commands.add_parser(
        "verify",
        parents=[common],
        help="verify every artifact in a bundle again",
        description="Run every artifact in a bundle again and compare it with "
        "the float64 reference. Needs only the runtimes.",
    )
    verify.add_argument("bundle", metavar="DIR")
    verify.add_argument(
        "--sha256",
        metavar="HASH",
        help="expected SHA-256 of report.json, which has the hashes of all "
        "other files (default: any)",
    )
    diagnose = commands.add_parser(
        "diagnose",
        parents=[common],
        help="show the layer where an artifact starts to diverge",
        description="Compare the output of every layer in each artifact with "
        "its expected values, and name the first layer that diverges.",
    )
    diagnose.add_argument("bundle", metavar="DIR")
    diagnose.add_argument(
        "--all",
        action="store_true",
        help="show every layer, not only the relevant ones",
    )
    _add_predict(commands, [common, images])
    _add_benchmark(commands, [common, imports])
    info = commands.add_parser(
        "info",
        parents=[common],
        help="show inputs, outputs, sizes and provenance",
        description="Describe a bundle, an artifact or a .keras file.",
    )
    info.add_argument("path", metavar="FILE_OR_DIR")
    info.add_argument(
        "--code",
        metavar="LANGUAGE",
        help="print a program that runs the artifact on images without this "
        "package: python, javascript or cpp",
    )
    return parser


def _add_predict(commands, parents):
    predict = commands.add_parser(
        "predict",
        parents=parents,
        help="run an artifact on images or other inputs",
        description="Run an artifact, or one of a bundle, with the runtime of "
        "its format. Images become inputs as the artifact says. An input that "
        "cannot be read is reported, and does not stop the others.",
    )
    predict.add_argument("artifact", metavar="ARTIFACT_OR_BUNDLE")
    predict.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help='images, folders of images, patterns such as "photos/**/*.jpg", '
        ".npy, .npz with one array per input, .parquet with a column of "
        "images, or .tar with images",
    )
    predict.add_argument(
        "--format",
        metavar="NAME",
        help=f"the artifact of a bundle, any of {', '.join(FORMATS)}; default "
        f"the first of {', '.join(FASTEST_FIRST)} whose runtime is installed",
    )
    predict.add_argument(
        "--scheme",
        metavar="NAME",
        help=f"its quantization, any of {', '.join(SCHEMES)}; default float32",
    )
    predict.add_argument(
        "--preprocess",
        metavar="PRESET",
        help="how images become inputs, where the artifact does not say it or "
        "to override it: none (0 to 255), unit (0 to 1), tf, torch, caffe, or "
        "a .json file",
    )
    predict.add_argument(
        "--output",
        metavar="FILE",
        help="write the results to this .csv, .jsonl, .parquet, or the whole "
        "outputs to this .npz",
    )
    predict.add_argument(
        "--resume",
        action="store_true",
        help="go on with the --output of an interrupted run, .csv or .jsonl",
    )
    predict.add_argument(
        "--engine",
        metavar="NAME",
        default="local",
        help="local, or ray: the workers of a Ray cluster; default local",
    )
    predict.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="workers of the engine ray, with one core each; default all cores",
    )
    predict.add_argument(
        "--top",
        type=int,
        default=3,
        metavar="K",
        help="classes shown or written per output; default 3",
    )


def _add_export(commands, parents):
    export = commands.add_parser(
        "export",
        parents=parents,
        help="write a bundle of verified artifacts",
        description="Write artifacts of a model in several formats, verify "
        "each against a float64 reference, and publish them together.",
    )
    source = export.add_mutually_exclusive_group(required=True)
    source.add_argument("model_file", nargs="?", metavar="MODEL.keras")
    source.add_argument(
        "--model",
        metavar="NAME",
        help="a network at its defaults with seeded random weights: "
        f"{', '.join(NETWORKS)}",
    )
    export.add_argument(
        "--output", required=True, metavar="DIR", help="the folder to create"
    )
    export.add_argument(
        "--format",
        dest="formats",
        type=_names,
        action="extend",
        metavar="FORMAT,...",
        help=f"any of {', '.join(FORMATS)}; may be repeated; default "
        f"{', '.join(DEFAULT_FORMATS)}",
    )
    export.add_argument(
        "--samples",
        metavar="FILE_OR_FOLDER",
        help="data to verify on: .npy, .npz with x (and labels y), an image, "
        "or a folder of images, in one folder per class if labelled; default "
        "seeded random inputs",
    )
    export.add_argument(
        "--preprocess",
        metavar="PRESET",
        help="how images become inputs, for samples and in every artifact: "
        "none (0 to 255), unit (0 to 1), tf, torch, caffe, or a .json file; "
        "default as the published weights of a network of this package "
        "expect, none if the model scales pixels itself, otherwise unknown",
    )
    export.add_argument(
        "--pixels",
        action="store_true",
        help="let the artifacts take uint8 pixels, and compute the "
        "preprocessing themselves",
    )
    export.add_argument(
        "--labels",
        metavar="FILE",
        help="the names of the classes, one per line or a .json list; default "
        "the names of the folders of samples",
    )
    export.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="samples per call; default any number",
    )
    export.add_argument(
        "--opset", type=int, default=18, help="ONNX opset; default 18"
    )
    export.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an existing bundle after the new one is verified",
    )
    export.add_argument(
        "--force",
        action="store_true",
        help="try an export that needs more memory or disk space than there "
        "is, by an estimate",
    )
    _add_quantization(export)


def _add_quantization(export):
    group = export.add_argument_group(
        "quantization",
        "Quantized TFLite and ONNX artifacts, in addition to the float ones. "
        "They are calibrated on some of the samples and measured on the "
        "others.",
    )
    group.add_argument(
        "--quantize",
        type=_names,
        action="extend",
        metavar="SCHEME,...",
        help=f"any of {', '.join(SCHEMES)}; may be repeated",
    )
    group.add_argument(
        "--quantized-io",
        metavar="DTYPE",
        help="int8 or uint8, for the inputs and outputs of the int8 "
        "artifacts; default float32",
    )
    group.add_argument(
        "--calibration-samples",
        type=int,
        metavar="N",
        help="samples to calibrate on, at most half of them; default "
        f"{CALIBRATION_SAMPLES}",
    )
    group.add_argument(
        "--min-agreement",
        type=float,
        metavar="FRACTION",
        help="fraction of the other samples that must get the same class as "
        f"from Keras; default {MIN_AGREEMENT}",
    )
    group.add_argument(
        "--max-accuracy-drop",
        type=float,
        metavar="FRACTION",
        help="by how much the fraction of correctly classified samples may "
        f"fall; default {MAX_ACCURACY_DROP}",
    )


def _add_benchmark(commands, parents):
    benchmark = commands.add_parser(
        "benchmark",
        parents=parents,
        help="compare the speed of the artifacts of a bundle with Keras",
        description="Measure the speed of every artifact of a bundle and of "
        "Keras on this machine's CPU. Each runs in its own process; in every "
        "round each is measured once, in random order.",
    )
    benchmark.add_argument("bundle", metavar="DIR")
    benchmark.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="samples per call; default that of the artifacts, or 1",
    )
    benchmark.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads per process; default all cores",
    )
    benchmark.add_argument(
        "--rounds",
        type=int,
        default=20,
        metavar="N",
        help="measurements of each, at least 0.2 s or two calls; default 20",
    )
    benchmark.add_argument(
        "--keras",
        metavar="FILE.keras",
        help="the model; default the file that was exported",
    )
    benchmark.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the random order; default 0",
    )


def _number(text):
    try:
        return float(Fraction(text))
    except (ValueError, ArithmeticError):
        raise argparse.ArgumentTypeError(
            f"got {text}, expected a number such as 1/255"
        ) from None


def _names(text):
    return text.split(",")
