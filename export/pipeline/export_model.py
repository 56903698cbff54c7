"""`export_model`: prepare a model, write, verify and publish its artifacts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_inception_export.bundle import bundle, publication
from keras_inception_export.bundle.schema import VERSION
from keras_inception_export.child_process import started_ahead
from keras_inception_export.data.labels import check_labels, labelled_outputs
from keras_inception_export.data.metadata import Metadata
from keras_inception_export.data.preprocessing import PRESETS
from keras_inception_export.data.samples import load_samples, with_labels
from keras_inception_export.diagnosis.capture import capture_layer_references
from keras_inception_export.diagnosis.diagnose import record_artifact
from keras_inception_export.errors import ArtifactError, RequestError
from keras_inception_export.formats.registry import DEFAULT_FORMATS, FORMATS
from keras_inception_export.logs import logger, progress_to
from keras_inception_export.model import pixels
from keras_inception_export.model.channel_search import measure_coverage
from keras_inception_export.model.inference_model import (
    InferenceModel,
    to_inference_model,
)
from keras_inception_export.model.input_ranges import input_domains
from keras_inception_export.model.loading import (
    deep_models,
    functional,
    load_model,
)
from keras_inception_export.model.size_dependent import check_sizes
from keras_inception_export.model.structure import structure_of
from keras_inception_export.options import CALIBRATION_SAMPLES, ExportOptions
from keras_inception_export.pipeline import artifacts, describe
from keras_inception_export.pipeline.make_probes import make_probes
from keras_inception_export.pipeline.resources import (
    check_resources,
    release_memory,
)
from keras_inception_export.pipeline.subprocess_export import (
    export_in_tensorflow,
)
from keras_inception_export.pipeline.versions import versions
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.split import split
from keras_inception_export.verification.probes import Probes
from keras_inception_export.verification.verify import (
    VerificationResult,
    with_diagnosis,
)


def export_model(
    model_or_path,
    output_dir,
    *,
    formats=DEFAULT_FORMATS,
    samples=None,
    preprocess=None,
    pixel_scale=None,
    labels=None,
    pixels=False,
    batch_size=None,
    opset=18,
    quantize=(),
    quantized_io=None,
    calibration_samples=CALIBRATION_SAMPLES,
    min_agreement=None,
    max_accuracy_drop=None,
    overwrite=False,
    force=False,
    progress=None,
):
    """Export a model, verify every artifact, and publish the bundle.

    One inference model is made: in float32, with batch norm folded and
    without side heads and dropout. Every format is written from it, run by its
    own runtime, and compared with the original model computed in float64.
    `output_dir` is created only after every artifact passed.

    Quantized artifacts are added to those in float32. They are calibrated on
    some of the samples and measured on the others. For int8, channels are
    equalized first and kernels are rounded for the activations they receive.
    If an int8 artifact fails the acceptance criteria, the layers that cost
    most accuracy stay in float, as few as possible.

    Args:
        model_or_path: a built Keras model; the path of a `.keras` file; or
            a function that builds a model, whose memory is then released
            before the artifacts are verified. Under a backend other than
            TensorFlow, a child process that runs TensorFlow does the export.
        output_dir: the folder to create.
        formats: any of `"saved_model"`, `"tflite"`, `"onnx"` and
            `"openvino"`. Defaults to the first three.
        samples: data to verify the artifacts on: an array; a dictionary of
            arrays by input name (with labels as `y`); a pair of samples and
            labels; an iterable of these, such as a `tf.data.Dataset`; or what
            `predict` takes: paths of folders of images (one per class if
            labelled), of `.npy`, `.npz`, `.parquet` and `.tar` files, and
            patterns. Defaults to `None`: seeded random inputs in the range
            that the model expects.
        preprocess: how images become inputs, for samples and in every
            artifact: `"none"` (values of 0 to 255), `"unit"` (0 to 1), `"tf"`,
            `"torch"` or `"caffe"` as in `keras.applications`; a
            `Preprocessing`, or a dictionary or `.json` file of its fields; or
            a dictionary of these by input name. Defaults to `None`: as the
            published weights of a network of this package expect, `"none"` if
            the model scales pixels itself, otherwise unknown.
        pixel_scale: a preprocessing that only multiplies pixels of 0 to 255
            by this factor. Defaults to `None`.
        labels: the names of the classes, in the order of an output's columns;
            or the path of a file with one per line, or of a `.json` list.
            Defaults to `None`: the names of the classes of the samples.
        pixels: whether the artifacts take uint8 pixels, RGB or grey, channels
            last, and compute the preprocessing themselves. Defaults to
            `False`.
        batch_size: samples per call, in all formats; `None` for any number.
            Defaults to `None`.
        opset: ONNX opset, 13 to 18. Defaults to `18`.
        quantize: any of `"float16"`, `"dynamic"` and `"int8"`, in TFLite and
            ONNX. `"int8"` needs `samples`; without them, the other schemes
            are verified on random inputs alone. Defaults to none.
        quantized_io: `"int8"` or `"uint8"` for the inputs and outputs of the
            int8 artifacts; `None` for float32. Defaults to `None`.
        calibration_samples: samples to calibrate on, at most half of them.
            Defaults to `200`.
        min_agreement: fraction of the other samples for which an artifact
            must predict the same class as Keras, in outputs that contain
            class scores: rows of probabilities, or rows that predict the
            labels better than chance. If it is given and no output is like
            that, it applies to any rows. Defaults to `None`: 0.99.
        max_accuracy_drop: by how much the fraction of correctly classified
            samples may fall, if there are labels. Defaults to `None`: 0.005.
        overwrite: whether an existing bundle at `output_dir` may be
            replaced after the new one is verified. Defaults to `False`.
        force: whether to try an export that needs more memory or disk space
            than there is, by an estimate. Defaults to `False`.
        progress: called with one line of text per step. Defaults to `None`:
            the steps are only log records of `keras_inception_export`.

    Returns:
        The report as a dictionary, equal to the content of `report.json`.

    Raises:
        RequestError: if an argument is invalid or the model cannot be
            exported. Nothing is written.
        ConversionError: if the model contains something that a format cannot
            express. Nothing is written.
        ArtifactError: if an artifact fails verification, or int8 fails the
            acceptance criteria whatever stays in float. Nothing is written.

    Example:

        report = export_model("digits.keras", "dist/digits")
        assert report["passed"]
    """
    options = ExportOptions(
        output_dir=output_dir,
        formats=formats,
        samples=samples,
        preprocess=preprocess,
        pixel_scale=pixel_scale,
        labels=labels,
        pixels=pixels,
        batch_size=batch_size,
        opset=opset,
        quantize=quantize,
        quantized_io=quantized_io,
        calibration_samples=calibration_samples,
        min_agreement=min_agreement,
        max_accuracy_drop=max_accuracy_drop,
        overwrite=overwrite,
        force=force,
    )
    with progress_to(progress):
        return run_export(model_or_path, options)


@deep_models()
def run_export(
    source: str | Path | keras.Model | Callable[[], keras.Model],
    options: ExportOptions,
) -> dict[str, Any]:
    """Export as `export_model` does, with options that are already checked."""
    if keras.backend.backend() != "tensorflow":
        return export_in_tensorflow(source, options)
    workers = (FORMATS[name].worker for name in options.formats)
    with started_ahead(filter(None, workers)):
        return _export(source, options)


def _export(source, options: ExportOptions) -> dict[str, Any]:
    """Prepare a model, write and verify its artifacts, and publish them."""
    known, model, probes, evaluation, metadata = _prepare(source, options)
    inputs, outputs = model.inputs, model.outputs
    with publication.staging(options.output_dir) as folder:
        written = artifacts.write_float(model, folder, options)
        quantized, equalized = artifacts.write_quantized(
            model, evaluation, probes, folder, options
        )
        written += quantized
        for artifact in written:
            artifacts.add_metadata(artifact, model, metadata)
        probes.save(folder / bundle.PROBES)
        coverage = measure_coverage(model, probes.feeds)
        logger.info("Coverage  %s", coverage.summary())
        references = capture_layer_references(
            model, probes.together(), equalized
        )
        feeds = probes.singles()
        del model, equalized
        results = []
        for artifact in written:
            release_memory()  # the runtime loads the weights once more
            result = artifacts.verify_written(
                artifact, inputs, outputs, probes, options
            )
            entry = artifact.as_json() | {
                "equalized_channels": artifact.equalized_channels
            }
            if result.passed:
                references = record_artifact(folder, entry, references, feeds)
            results.append(
                with_diagnosis(result, folder, entry, references, feeds)
            )
        _raise_findings(results)
        references.save(folder / bundle.LAYER_REFERENCES)
        report = {
            "schema_version": VERSION,
            **known,
            "versions": metadata.versions,
            "metadata": metadata.as_json(),
            "probes": {
                **bundle.entry(folder, bundle.PROBES),
                **probes.as_json(),
            },
            "coverage": coverage.as_json(),
            "layer_references": bundle.entry(folder, bundle.LAYER_REFERENCES),
            "evaluation": evaluation and evaluation.as_json(),
            "artifacts": [
                artifacts.artifact_report(artifact, result, evaluation)
                for artifact, result in zip(written, results, strict=True)
            ],
            "passed": True,
        }
        bundle.write_report(folder, report)
        publication.publish(
            folder, options.output_dir, overwrite=options.overwrite
        )
    return report


def _prepare(
    source, options: ExportOptions
) -> tuple[dict, InferenceModel, Probes, Evaluation | None, Metadata]:
    """Return what is known of the model, and what artifacts are made from."""
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
    known = {"model": facts, "structure": structure_of(original)}
    logger.info(
        "Model  %s, %s parameters", facts["name"], f"{facts['parameters']:,}"
    )
    check_resources(facts["parameters"], options, loaded=True)
    specs, domains = InferenceModel.of(original).inputs, input_domains(original)
    preprocessing = describe.choose_preprocessing(
        options.preprocess, original, specs, domains
    )
    built_in = {}
    if options.pixels:
        describe.check_pixels(preprocessing, specs, options)
        built_in = preprocessing
        original = pixels.with_pixels(original, built_in)
        preprocessing = {
            x: pixels.of_pixels(made) for x, made in built_in.items()
        }
        domains = input_domains(original)
    model = to_inference_model(original, options.batch_size)
    check_sizes(model.model)
    if model.model is not original:
        pixels.fold_pixels(model.model)
    labels = options.labels
    if labels:
        check_labels(labels, model.outputs)  # before what takes long
    samples = evaluation = None
    if options.samples is not None:
        first = preprocessing.get(model.inputs[0].name, PRESETS["none"])
        samples = load_samples(options.samples, model.inputs, first)
        describe.warn_of_samples(samples, preprocessing)
        if labels:
            samples = with_labels(samples, labels)
        elif samples.classes and labelled_outputs(
            samples.classes, model.outputs
        ):
            labels = samples.classes
        if options.quantize:
            parts = split(samples, options.calibration_samples)
            logger.info("Evaluate  Keras on %d samples", len(parts.evaluation))
            evaluation = Evaluation.of(original, parts, options)
            for warning in evaluation.warnings:
                logger.info("Warning  %s", warning)
    logger.info("Reference  the model in float64")
    probes = make_probes(
        original,
        model,
        describe.with_ranges(domains, preprocessing),
        samples.inputs if samples else None,
    )
    metadata = describe.make_metadata(
        *(model, original.name, preprocessing, built_in, labels, probes),
        versions(),
    )
    return known, model, probes, evaluation, metadata


def _raise_findings(results: list[VerificationResult]) -> None:
    """Raise all findings in one error."""
    for result in results:
        if result.missing:
            raise RequestError(result.missing)
    findings = [f"{x.name}: {text}" for x in results for text in x.findings]
    if findings:
        raise ArtifactError("; ".join(findings))
