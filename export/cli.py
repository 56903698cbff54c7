"""The command line: words in, words out."""

import contextlib
import functools
import json
import logging
import os
import sys
import warnings

from keras_inception_export import display
from keras_inception_export.arguments import make_parser
from keras_inception_export.errors import (
    INTERNAL_EXIT_CODE,
    ExportError,
    RuntimeMissingError,
    reason_of,
)


def main(words=None) -> int:
    """Run the command; return its exit code.

    0: proven, or done. 1: an artifact does not hold. 2: the request or the
    input is wrong, or nothing could be run. 70: an error of the program
    itself.
    """
    arguments = make_parser().parse_args(words)
    quiet = contextlib.nullcontext() if arguments.debug else _only_our_words()
    with quiet, _own_environment():
        try:
            return COMMANDS[arguments.command](arguments)
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
            return INTERNAL_EXIT_CODE
        except KeyboardInterrupt:
            print("keras-inception: interrupted", file=sys.stderr)
            return 130


def _export(arguments):
    from keras_inception_export.request import ExportRequest, check_choice

    options = {
        "output_dir": arguments.output,
        **{
            name: getattr(arguments, name)
            for name in (
                "formats",
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
    from keras_inception_export.networks import NETWORKS
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
    if any(proof.findings for proof in proofs):
        return 1
    if not any(proof.passed for proof in proofs):
        raise RuntimeMissingError(
            f"{arguments.bundle}: no artifact could be run, so nothing is "
            "proven; install the runtime of one of them"
        )
    return 0


def _diagnose(arguments):
    from keras_inception_export.diagnosis import diagnose
    from keras_inception_export.diagnosis_table import table

    diagnoses = diagnose(arguments.bundle)
    if arguments.json:
        artifacts = [diagnosis.as_json() for diagnosis in diagnoses]
        print(json.dumps({"artifacts": artifacts}, indent=2))
    else:
        print(table(diagnoses, everything=arguments.all))
    if not all(diagnosis.passed for diagnosis in diagnoses):
        return 1
    if not any(diagnosis.layers for diagnosis in diagnoses):
        raise RuntimeMissingError(
            f"{arguments.bundle}: no artifact could be examined; that needs "
            "a TFLite or ONNX artifact and its runtime"
        )
    return 0


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


COMMANDS = {
    "export": _export,
    "verify": _verify,
    "diagnose": _diagnose,
    "predict": _predict,
    "info": _info,
    "benchmark": _benchmark,
}


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
