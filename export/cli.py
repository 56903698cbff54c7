"""The command line: words in, words out."""

import argparse
import contextlib
import functools
import json
import logging
import os
import sys
import warnings
from fractions import Fraction

from keras_inception_export import display
from keras_inception_export.errors import ExportError, reason_of
from keras_inception_export.formats import FILES, SCHEMES
from keras_inception_export.networks import NETWORKS


def main(words=None) -> int:
    """Run the command; return its exit code.

    0: proven, or done. 1: an artifact does not hold. 2: the request or the
    input is wrong.
    """
    arguments = _parser().parse_args(words)
    quiet = contextlib.nullcontext() if arguments.debug else _only_our_words()
    with quiet, _own_environment():
        try:
            return arguments.run(arguments)
        except ExportError as error:
            if arguments.debug:
                raise
            line = " ".join(str(error).split())
            print(f"keras-inception: {line}", file=sys.stderr)
            return error.exit_code
        except Exception as error:
            if arguments.debug:
                raise
            print(
                f"keras-inception: unexpected {type(error).__name__}: "
                f"{reason_of(error)}; run it again with --debug for more",
                file=sys.stderr,
            )
            return 1
        except KeyboardInterrupt:
            print("keras-inception: interrupted", file=sys.stderr)
            return 130


def _export(arguments):
    from keras_inception_export.request import ExportRequest, check_choice

    options = {
        "output_dir": arguments.output,
        "formats": arguments.format,
        **{
            name: getattr(arguments, name)
            for name in (
                "samples",
                "pixel_scale",
                "batch_size",
                "opset",
                "overwrite",
                "quantize",
                "quantized_io",
                "calibration_samples",
                "min_agreement",
                "max_accuracy_drop",
            )
            if getattr(arguments, name) is not None
        },
    }
    # Before TensorFlow is imported, which takes seconds.
    ExportRequest(**options)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow's oneDNN allocator gives no memory back: with it the peak of
    # a 132 M parameter export is 5.9 GB, without it 3.4 GB, in the same time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    from keras_inception_export import prepare
    from keras_inception_export.pipeline import export_model

    prepare.import_modules(arguments.imports)
    model = arguments.model_file
    if arguments.model:
        check_choice("model", arguments.model, NETWORKS)
        model = functools.partial(prepare.build_model, arguments.model)
    report = export_model(
        model,
        progress=None if arguments.json else display.progress,
        **options,
    )
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        print(display.export_summary(report, arguments.output))
    return 0


def _verify(arguments):
    from keras_inception_export.verification import verify

    proofs = verify(arguments.bundle)
    if arguments.json:
        print(json.dumps(display.proofs_as_json(proofs), indent=2))
    else:
        print(display.verification(proofs, arguments.bundle))
    return 0 if all(not p.findings for p in proofs) else 1


def _diagnose(arguments):
    from keras_inception_export.diagnosis import diagnose
    from keras_inception_export.diagnosis_table import table

    diagnoses = diagnose(arguments.bundle)
    if arguments.json:
        artifacts = [diagnosis.as_json() for diagnosis in diagnoses]
        print(json.dumps({"artifacts": artifacts}, indent=2))
    else:
        print(table(diagnoses, arguments.bundle, everything=arguments.all))
    return 0 if all(diagnosis.passed for diagnosis in diagnoses) else 1


def _predict(arguments):
    from keras_inception_export.artifact import load_artifact
    from keras_inception_export.samples import load_inputs, save_outputs

    artifact = load_artifact(arguments.artifact)
    samples, labels = load_inputs(
        arguments.inputs, artifact.inputs, arguments.pixel_scale
    )
    outputs = artifact(samples)
    if arguments.output:
        save_outputs(arguments.output, outputs)
    if arguments.json:
        values = {name: array.tolist() for name, array in outputs.items()}
        print(json.dumps({"samples": labels, "outputs": values}))
    else:
        print(display.predictions(outputs, labels, arguments.top))
    return 0


def _info(arguments):
    from keras_inception_export.information import describe

    facts = describe(arguments.path)
    if arguments.json:
        print(json.dumps(facts, indent=2))
    else:
        print(display.information(facts))
    return 0


def _benchmark(arguments):
    from keras_inception_export.benchmarking import benchmark

    result = benchmark(
        arguments.bundle,
        batch_size=arguments.batch_size,
        threads=arguments.threads,
        rounds=arguments.rounds,
        keras_file=arguments.keras,
        against_keras=arguments.against == "keras",
        modules=arguments.imports,
        seed=arguments.seed,
        progress=None if arguments.json else display.progress,
    )
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(display.benchmark(result))
    return 0


@contextlib.contextmanager
def _own_environment():
    """Keep what is set for TensorFlow from a caller that goes on."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _only_our_words():
    """Keep what native libraries and Python loggers print off the terminal.

    TensorFlow and its converters write to the process's standard error
    below Python, so the file descriptor itself is turned away.
    """
    sys.stderr.flush()
    terminal, native = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(native, 2)
    os.close(native)
    before = sys.stderr
    sys.stderr = os.fdopen(os.dup(terminal), "w", buffering=1)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
        sys.stderr.close()
        sys.stderr = before
        os.dup2(terminal, 2)
        os.close(terminal)


def _parser():
    parser = argparse.ArgumentParser(
        prog="keras-inception",
        description="Export Keras models to SavedModel, TFLite and ONNX, and "
        "prove that each artifact computes what the model computes.",
        epilog="Exit codes: 0 proven; 1 an artifact does not hold; 2 the "
        "request or the input is wrong.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
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
    verify.set_defaults(run=_verify)
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
    diagnose.set_defaults(run=_diagnose)
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
    predict.set_defaults(run=_predict)
    _add_benchmark(commands, [common])
    info = commands.add_parser(
        "info",
        parents=[common],
        help="show inputs, outputs, sizes and provenance",
        description="Show what a bundle, an artifact or a .keras file holds.",
    )
    info.add_argument("path", metavar="FILE_OR_DIR")
    info.set_defaults(run=_info)
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
        nargs="+",
        default=tuple(FILES),
        metavar="FORMAT",
        help=f"any of {', '.join(FILES)}; default all",
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
    export.set_defaults(run=_export)


def _add_quantization(export):
    group = export.add_argument_group(
        "quantization",
        "TFLite and ONNX artifacts of fewer bits, beside the float ones. They "
        "are calibrated on some of the samples and measured on the others.",
    )
    group.add_argument(
        "--quantize",
        nargs="+",
        action="extend",
        metavar="SCHEME",
        help=f"any of {', '.join(SCHEMES)}",
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
        help="samples to calibrate on, at most half; default 200",
    )
    group.add_argument(
        "--min-agreement",
        type=float,
        metavar="PART",
        help="part of the other samples that must get the class that Keras "
        "gives them; default 0.99",
    )
    group.add_argument(
        "--max-accuracy-drop",
        type=float,
        metavar="PART",
        help="by how much the part of rightly classified samples may fall; "
        "default 0.005",
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
        "--against",
        choices=("keras",),
        help="add Keras's own exports of the model",
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
    benchmark.set_defaults(run=_benchmark)


def _number(text):
    return float(Fraction(text))
