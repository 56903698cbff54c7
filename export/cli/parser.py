"""The words that the command takes, and what it says of them."""

import argparse
from fractions import Fraction

from keras_inception_export.formats.registry import FORMATS, SCHEMES
from keras_inception_export.model.networks import NETWORKS
from keras_inception_export.options import (
    CALIBRATION_SAMPLES,
    MAX_ACCURACY_DROP,
    MIN_AGREEMENT,
)


def make_parser():
    """Return the parser of the command; what it parses has `command`."""
    parser = argparse.ArgumentParser(
        prog="keras-inception",
        description="Export Keras models to SavedModel, TFLite and ONNX, and "
        "prove that each artifact computes what the model computes.",
        epilog="Exit codes: 0 proven; 1 an artifact does not hold; 2 the "
        "request or the input is wrong, or nothing could be run; 70 an error "
        "of the program itself.",
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
        help="show tracebacks and every library's own log",
    )
    images = argparse.ArgumentParser(add_help=False)
    images.add_argument(
        "--pixel-scale",
        type=_number,
        default=1.0,
        metavar="FACTOR",
        help="what pixel values of image files, 0 to 255, are multiplied by, "
        "such as 1/255; default 1",
    )
    _add_export(commands, [common, images])
    verify = commands.add_parser(
        "verify",
        parents=[common],
        help="run every artifact in a bundle again",
        description="Run every artifact in a bundle again and hold it to the "
        "float64 reference. Needs only the runtimes.",
    )
    verify.add_argument("bundle", metavar="DIR")
    diagnose = commands.add_parser(
        "diagnose",
        parents=[common],
        help="show where along the network an artifact goes wrong",
        description="Compare what every layer gives in each artifact with "
        "what it should give, and name the first that diverges.",
    )
    diagnose.add_argument("bundle", metavar="DIR")
    diagnose.add_argument(
        "--all",
        action="store_true",
        help="show every layer, not only what matters",
    )
    predict = commands.add_parser(
        "predict",
        parents=[common, images],
        help="run an artifact on inputs",
        description="Run a SavedModel, TFLite or ONNX artifact by its own "
        "runtime.",
    )
    predict.add_argument("artifact", metavar="ARTIFACT")
    predict.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help=".npy or image files (each holds samples for the one input), or "
        "one .npz with an array for each input",
    )
    predict.add_argument(
        "--output", metavar="FILE.npz", help="where to save the outputs"
    )
    predict.add_argument(
        "--top",
        type=int,
        default=3,
        metavar="K",
        help="classes shown for each sample; default 3",
    )
    _add_benchmark(commands, [common])
    info = commands.add_parser(
        "info",
        parents=[common],
        help="show inputs, outputs, sizes and provenance",
        description="Show what a bundle, an artifact or a .keras file holds.",
    )
    info.add_argument("path", metavar="FILE_OR_DIR")
    return parser


def _add_export(commands, parents):
    export = commands.add_parser(
        "export",
        parents=parents,
        help="write a bundle of artifacts, each proven",
        description="Write SavedModel, TFLite and ONNX artifacts of a model, "
        "prove each against a float64 reference, and publish them together.",
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
        "--output", required=True, metavar="DIR", help="the folder to make"
    )
    export.add_argument(
        "--format",
        dest="formats",
        type=_names,
        action="extend",
        metavar="FORMAT,...",
        help=f"any of {', '.join(FORMATS)}; may be repeated; default all",
    )
    export.add_argument(
        "--samples",
        metavar="FILE_OR_FOLDER",
        help="data to prove on: .npy, .npz with x (and labels y), an image, "
        "or a folder of images, in a folder a class if labelled; default "
        "seeded random inputs",
    )
    export.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="samples a call; default any number",
    )
    export.add_argument(
        "--opset", type=int, default=18, help="ONNX opset; default 18"
    )
    export.add_argument(
        "--overwrite",
        action="store_true",
        help="replace an existing bundle, once the new one is proven",
    )
    export.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that registers custom layers; may be repeated",
    )
    _add_quantization(export)


def _add_quantization(export):
    group = export.add_argument_group(
        "quantization",
        "TFLite and ONNX artifacts of fewer bits, beside the float ones. They "
        "are calibrated on some of the samples and measured on the others.",
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
        help="int8 or uint8: inputs and outputs of the int8 artifacts, in "
        "place of float32",
    )
    group.add_argument(
        "--calibration-samples",
        type=int,
        metavar="N",
        help=f"samples to calibrate on, at most half; default {CALIBRATION_SAMPLES}",
    )
    group.add_argument(
        "--min-agreement",
        type=float,
        metavar="PART",
        help="part of the other samples that must get the class that Keras "
        f"gives them; default {MIN_AGREEMENT}",
    )
    group.add_argument(
        "--max-accuracy-drop",
        type=float,
        metavar="PART",
        help="by how much the part of rightly classified samples may fall; "
        f"default {MAX_ACCURACY_DROP}",
    )


def _add_benchmark(commands, parents):
    benchmark = commands.add_parser(
        "benchmark",
        parents=parents,
        help="measure the artifacts of a bundle beside Keras",
        description="Measure how fast every artifact of a bundle and Keras "
        "itself are on this machine's CPU. Each runs in a process of its own; "
        "in each round every one has a turn, in random order.",
    )
    benchmark.add_argument("bundle", metavar="DIR")
    benchmark.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="samples a call; default the artifacts' own, or 1",
    )
    benchmark.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads of each; default all cores",
    )
    benchmark.add_argument(
        "--rounds",
        type=int,
        default=20,
        metavar="N",
        help="turns of each, a fifth of a second or two calls long; default 20",
    )
    benchmark.add_argument(
        "--keras",
        metavar="FILE.keras",
        help="the model; default the file that the bundle was made from",
    )
    benchmark.add_argument(
        "--seed", type=int, default=0, help="of the order; default 0"
    )
    benchmark.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="a module that registers custom layers; may be repeated",
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
