"""export_model: prepare, write, verify, publish."""

import contextlib
import gc
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from keras_inception_export.bundle import bundle
from keras_inception_export.bundle.artifact import load_artifact
from keras_inception_export.data.samples import load_samples
from keras_inception_export.data.tensor_spec import TensorSpec
from keras_inception_export.diagnosis.capture import capture_layer_references
from keras_inception_export.diagnosis.diagnose import record_artifact
from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    ExportError,
    RequestError,
    reason_of,
)
from keras_inception_export.formats.registry import DEFAULT_FORMATS, FORMATS
from keras_inception_export.logs import logger, progress_to
from keras_inception_export.model.inference_model import (
    InferenceModel,
    to_inference_model,
)
from keras_inception_export.model.loading import functional, load_model
from keras_inception_export.options import CALIBRATION_SAMPLES, ExportOptions
from keras_inception_export.pipeline.make_probes import make_probes
from keras_inception_export.pipeline.subprocess_export import (
    export_in_tensorflow,
)
from keras_inception_export.pipeline.versions import versions
from keras_inception_export.quantization.acceptance import MIN_SNR_DB
from keras_inception_export.quantization.artifacts import WrittenArtifact
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.scheme_writer import SchemeWriter
from keras_inception_export.quantization.split import split
from keras_inception_export.verification.parity import (
    FLOOR,
    degenerate_outputs,
)
from keras_inception_export.verification.probes import Probes
from keras_inception_export.verification.verify import (
    VerificationResult,
    verify_artifact,
    with_diagnosis,
)

SLACK = 1.5
"""A quantized artifact may differ by up to so many times its error when it was
published: processors round int8 differently."""

NOISE = 10 ** (-MIN_SNR_DB / 20)
"""The largest error of a quantized artifact, relative to the largest value,
where there are no samples to measure it on."""


def export_model(
    model_or_path,
    output_dir,
    *,
    formats=DEFAULT_FORMATS,
    samples=None,
    pixel_scale=1.0,
    batch_size=None,
    opset=18,
    quantize=(),
    quantized_io=None,
    calibration_samples=CALIBRATION_SAMPLES,
    min_agreement=None,
    max_accuracy_drop=None,
    overwrite=False,
    progress=None,
):
    """Export a model, prove every artifact, and publish the bundle.

    One inference model is made: float32, batch norm folded, side heads and
    dropout gone. Every format is written from it, run again by its own
    runtime, and held to the original model computed in float64. `output_dir`
    appears when everything holds, and not before.

    Quantized artifacts come beside those of float32. They are calibrated on
    some of the samples and measured on the others. Before int8 channels are
    equalized and kernels are rounded for what they read. Where it still misses
    what is asked, the layers that cost most are kept in float, as few as
    needed.

    Args:
        model_or_path: a built Keras model; the path of a `.keras` file; or
            a function that builds a model, whose memory is then free again
            while the artifacts are proven. Under another backend than
            TensorFlow the work is done in a process of its own that runs
            TensorFlow.
        output_dir: the folder to make.
        formats: any of `"saved_model"`, `"tflite"` and `"onnx"`. Defaults to
            all three.
        samples: data to prove the artifacts on: an array; a dictionary of
            arrays by input name (with labels as `y`); a pair of samples and
            labels; an iterable of these, such as a `tf.data.Dataset`; or the
            path of a `.npy`, `.npz` or image file or of a folder of images
            (one folder a class, if labelled). Defaults to `None`: seeded
            random inputs in the range that the model expects.
        pixel_scale: what the pixel values of image files, 0 to 255, are
            multiplied by. Defaults to `1.0`.
        batch_size: samples a call, in all formats; `None` for any number.
            Defaults to `None`.
        opset: ONNX opset, 13 to 18. Defaults to `18`.
        quantize: any of `"float16"`, `"dynamic"` and `"int8"`, in TFLite and
            ONNX. `"int8"` needs `samples`; without, the others are held to
            the probes alone. Defaults to none.
        quantized_io: `"int8"` or `"uint8"` for the inputs and outputs of the
            int8 artifacts; `None` for float32. Defaults to `None`.
        calibration_samples: samples to calibrate on, at most half of them.
            Defaults to `200`.
        min_agreement: part of the other samples that must get the class that
            Keras gives them, in outputs that hold scores of classes: rows of
            probabilities, or rows that tell the labels better than guessing.
            If it is given and there are none, it holds for any rows.
            Defaults to `None`: 0.99.
        max_accuracy_drop: by how much the part of rightly classified samples
            may fall there, where there are labels. Defaults to `None`: 0.005.
        overwrite: whether an existing bundle at `output_dir` may be
            replaced, once the new one is proven. Defaults to `False`.
        progress: called with a line for each step. Defaults to `None`.

    Returns:
        The report as a dictionary, as it stands in `report.json`.

    Raises:
        RequestError: if an argument or the model is not one that can be
            exported. Nothing is written.
        ConversionError: if the model holds something that a format cannot
            express. Nothing is written.
        ArtifactError: if an artifact does not hold, or nothing that was
            tried keeps what is asked of int8. Nothing is written.

    Example:

        report = export_model("digits.keras", "dist/digits")
        assert report["passed"]
    """
    options = ExportOptions(
        output_dir=output_dir,
        formats=formats,
        samples=samples,
        pixel_scale=pixel_scale,
        batch_size=batch_size,
        opset=opset,
        quantize=quantize,
        quantized_io=quantized_io,
        calibration_samples=calibration_samples,
        min_agreement=min_agreement,
        max_accuracy_drop=max_accuracy_drop,
        overwrite=overwrite,
    )
    with progress_to(progress):
        return run_export(model_or_path, options)


def run_export(
    source: str | Path | keras.Model | Callable[[], keras.Model],
    options: ExportOptions,
) -> dict[str, Any]:
    """Do what `export_model` does, with options that are checked already.

    Args:
        source: the model, the path of its file, or a function that builds it.
        options: the options of the export.
    """
    if keras.backend.backend() != "tensorflow":
        return export_in_tensorflow(source, options)
    made_with = versions()
    facts, inference_model, probes, evaluation = _prepare(source, options)
    inputs, outputs = inference_model.inputs, inference_model.outputs
    with bundle.staging(options.output_dir) as folder:
        written = [
            _write(inference_model, name, folder, options)
            for name in options.formats
        ]
        quantized, equalized = _quantize(
            inference_model, evaluation, probes, folder, options
        )
        written += quantized
        probes.save(folder / bundle.PROBES)
        layer_references = capture_layer_references(
            inference_model, probes.together(), equalized
        )
        feeds = probes.singles()
        del inference_model, equalized
        gc.collect()  # the runtimes load the weights once more
        results = []
        for artifact in written:
            logger.info("Verify  %s", artifact.name)
            result = _verify(artifact, inputs, outputs, probes, options)
            entry = {
                **artifact.as_json(),
                "equalized_channels": artifact.equalized_channels,
            }
            if result.passed:
                layer_references = record_artifact(
                    folder, entry, layer_references, feeds
                )
            results.append(
                with_diagnosis(
                    result, folder, entry, layer_references, feeds
                )
            )
        _raise_findings(results)
        layer_references.save(folder / bundle.LAYER_REFERENCES)
        report = {
            "model": facts,
            "versions": made_with,
            "probes": bundle.entry(folder, bundle.PROBES),
            "layer_references": bundle.entry(folder, bundle.LAYER_REFERENCES),
            "evaluation": evaluation and evaluation.as_json(),
            "artifacts": [
                _report(artifact, result, evaluation)
                for artifact, result in zip(written, results, strict=True)
            ],
            "passed": True,
        }
        bundle.write_report(folder, report)
        bundle.publish(folder, options.output_dir)
    return report


def _prepare(
    source, options: ExportOptions
) -> tuple[dict[str, Any], InferenceModel, Probes, Evaluation | None]:
    """Return facts about the model, its inference model, probes, evaluation."""
    path = None
    if isinstance(source, (str, Path)):
        path = str(source)
        source = load_model(source)
    elif not isinstance(source, keras.Model) and callable(source):
        source = source()
    original = functional(source)
    facts = {
        "name": original.name,
        "parameters": original.count_params(),
        "keras_path": path,
        "backend": keras.backend.backend(),
    }
    logger.info(
        "Model  %s, %s parameters", facts["name"], f"{facts['parameters']:,}"
    )
    inference_model = to_inference_model(original, options.batch_size)
    samples = evaluation = None
    if options.samples is not None:
        samples = load_samples(
            options.samples, inference_model.inputs, options.pixel_scale
        )
        if options.quantize:
            parts = split(samples, options.calibration_samples)
            logger.info("Evaluate  Keras on %d samples", len(parts.evaluation))
            evaluation = Evaluation.of(original, parts, options)
            for warning in evaluation.warnings:
                logger.info("Warning  %s", warning)
    logger.info("Reference  the model in float64")
    probes = make_probes(
        original, inference_model, samples.inputs if samples else None
    )
    findings = degenerate_outputs(probes)
    if findings:
        raise ArtifactError("; ".join(findings))
    return facts, inference_model, probes, evaluation


def _write(
    inference_model: InferenceModel,
    name: str,
    folder: Path,
    options: ExportOptions,
) -> WrittenArtifact:
    """Write one format in float32."""
    logger.info("Write  %s", name)
    start = time.perf_counter()
    path = folder / FORMATS[name].file_name
    with _named_failures(name):
        FORMATS[name].write(inference_model, path, opset=options.opset)
    seconds = time.perf_counter() - start
    return WrittenArtifact(name, None, path, round(seconds, 2))


def _quantize(
    inference_model: InferenceModel,
    evaluation: Evaluation | None,
    probes: Probes,
    folder: Path,
    options: ExportOptions,
) -> tuple[list[WrittenArtifact], InferenceModel | None]:
    """Write every quantized artifact; also return the equalized model."""
    written: list[WrittenArtifact] = []
    with tempfile.TemporaryDirectory(dir=folder, prefix=".work-") as workdir:
        writer = SchemeWriter(
            inference_model, evaluation, probes, folder, Path(workdir), options
        )
        for scheme in options.quantize:
            with _named_failures(scheme):
                written += writer.write(scheme)
    return written, writer.equalized_model


@contextlib.contextmanager
def _named_failures(name):
    """Turn what a conversion raises into one line that names it."""
    try:
        yield
    except ExportError:
        raise
    except OSError as error:
        raise RequestError(
            f"{name} cannot be written: {error.strerror or error}; what "
            "was there is unchanged"
        ) from error
    except Exception as error:
        raise ConversionError(
            f"the model cannot be converted to {name}: {reason_of(error)}"
        ) from error


def _verify(
    artifact: WrittenArtifact,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    probes: Probes,
    options: ExportOptions,
) -> VerificationResult:
    """Run an artifact on the probes and compare.

    The error of a quantized artifact becomes its tolerance. It was limited on
    the samples; without samples, it is limited on the probes.
    """
    limit = float("inf") if artifact.measured else NOISE
    if not artifact.quantization:
        return verify_artifact(artifact.path, inputs, outputs, probes)
    io = artifact.quantization == "int8" and options.quantized_io
    result = verify_artifact(
        artifact.path,
        _as_integers(inputs, io),
        _as_integers(outputs, io),
        probes,
        quantization=artifact.quantization,
        limits=dict.fromkeys(probes.keras_error, limit),
    )
    return replace(
        result,
        parity=tuple(
            replace(record, tolerance=max(FLOOR, SLACK * record.max_error))
            for record in result.parity
        ),
    )


def _as_integers(specs, dtype):
    """Return the specs that an artifact with integer tensors should have."""
    return tuple(
        replace(spec, dtype=dtype)
        if dtype and spec.dtype.startswith("float")
        else spec
        for spec in specs
    )


def _raise_findings(results: list[VerificationResult]) -> None:
    """Raise everything that was found, in one error."""
    for result in results:
        if result.missing:
            raise RequestError(result.missing)
    findings = [
        f"{result.name}: {finding}"
        for result in results
        for finding in result.findings
    ]
    if findings:
        raise ArtifactError("; ".join(findings))


def _report(
    artifact: WrittenArtifact,
    result: VerificationResult,
    evaluation: Evaluation | None,
) -> dict[str, Any]:
    """Return how `report.json` describes one artifact."""
    runner = load_artifact(artifact.path)
    measured = artifact.measured
    if evaluation and not measured:
        measured = evaluation.measure(runner)
    return {
        **artifact.as_json(),
        "bytes": bundle.size_of(artifact.path),
        "sha256": bundle.sha256_of(artifact.path),
        "inputs": [spec.as_json() for spec in runner.inputs],
        "outputs": [spec.as_json() for spec in runner.outputs],
        "seconds": artifact.seconds,
        "parity": [record.as_json() for record in result.parity],
        "measured": [record.as_json() for record in measured],
        "equalized_channels": artifact.equalized_channels,
        "float_layers": list(artifact.float_layers),
        "float_cost": artifact.float_cost,
        "passed": result.passed,
    }
