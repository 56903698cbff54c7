"""export_model: prepare, write, prove, publish."""

import contextlib
import gc
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import keras

from keras_inception_export import bundle, elsewhere
from keras_inception_export.artifact import load_artifact
from keras_inception_export.diagnosis import record
from keras_inception_export.errors import (
    ArtifactError,
    ConversionError,
    ExportError,
    RequestError,
    reason_of,
)
from keras_inception_export.formats import FILES, format_module
from keras_inception_export.observation import take_landmarks
from keras_inception_export.parity import FLOOR, degenerate_outputs
from keras_inception_export.prepare import (
    functional,
    inference_twin,
    load_model,
)
from keras_inception_export.quantization.defaults import CALIBRATION
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.guard import MIN_SNR_DB
from keras_inception_export.quantization.search import Search, Written
from keras_inception_export.quantization.split import split
from keras_inception_export.reference import make_probes
from keras_inception_export.request import ExportRequest
from keras_inception_export.samples import load_samples
from keras_inception_export.verification import Proof, explained, prove
from keras_inception_export.versions import versions

SLACK = 1.5
"""A quantized artifact may err so many times as much as it did when it was
published: processors round int8 differently."""
NOISE = 10 ** (-MIN_SNR_DB / 20)
"""What a quantized artifact may err by, relative to the largest value, if
there are no samples to measure it on."""


def export_model(
    model_or_path,
    output_dir,
    *,
    formats=("saved_model", "tflite", "onnx"),
    samples=None,
    pixel_scale=1.0,
    batch_size=None,
    opset=18,
    quantize=(),
    quantized_io=None,
    calibration_samples=CALIBRATION,
    min_agreement=None,
    max_accuracy_drop=None,
    overwrite=False,
    progress=None,
):
    """Export a model, prove every artifact, and publish the bundle.

    One inference twin is made: float32, batch norm folded, side heads and
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
    request = ExportRequest(
        output_dir,
        formats,
        samples,
        pixel_scale,
        batch_size,
        opset,
        overwrite,
        quantize,
        quantized_io,
        calibration_samples,
        min_agreement,
        max_accuracy_drop,
    )
    say = progress or (lambda line: None)
    if keras.backend.backend() != "tensorflow":
        return elsewhere.export_in_tensorflow(model_or_path, request, say)
    made_with = versions()
    model, twin, probes, evaluation = _prepare(model_or_path, request, say)
    inputs, outputs = twin.inputs, twin.outputs
    with bundle.staging(request.output_dir) as folder:
        # First, for it may equalize the twin that all are written from.
        quantized, channels = _quantize(
            twin, evaluation, probes, request, folder, say
        )
        written = _write(twin, request, folder, say) + quantized
        probes.save(folder / bundle.PROBES)
        landmarks = take_landmarks(twin, probes.together())
        feeds = probes.singles()
        del twin
        gc.collect()  # the runtimes load the weights once more
        proofs = []
        for artifact in written:
            say(f"Prove  {artifact.name}")
            proof = _prove(artifact, inputs, outputs, probes, request)
            facts = artifact.as_json()
            if proof.passed:
                landmarks = record(folder, facts, landmarks, feeds)
            proofs.append(explained(proof, folder, facts, landmarks, feeds))
        _raise_findings(proofs)
        landmarks.save(folder / bundle.LANDMARKS)
        report = {
            "model": model,
            "versions": made_with,
            "probes": bundle.entry(folder, bundle.PROBES),
            "landmarks": bundle.entry(folder, bundle.LANDMARKS),
            "evaluation": evaluation and evaluation.as_json(),
            "artifacts": [
                _report(artifact, proof, evaluation, channels)
                for artifact, proof in zip(written, proofs, strict=True)
            ],
            "passed": True,
        }
        bundle.write_report(folder, report)
        bundle.publish(folder, request.output_dir)
    return report


def _prepare(source, request, say):
    """Return facts about the model, its twin, its probes, its evaluation."""
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
    say(f"Model  {facts['name']}, {facts['parameters']:,} parameters")
    twin = inference_twin(original, request.batch_size)
    samples = evaluation = None
    if request.samples is not None:
        samples = load_samples(
            request.samples, twin.inputs, request.pixel_scale
        )
        if request.quantize:
            parts = split(samples, request.calibration_samples)
            say(f"Evaluate  Keras on {len(parts.evaluation)} samples")
            evaluation = Evaluation.of(original, parts, request)
            for warning in evaluation.warnings:
                say(f"Warning  {warning}")
    say("Reference  the model in float64")
    probes = make_probes(original, twin, samples and samples.inputs)
    findings = degenerate_outputs(probes)
    if findings:
        raise ArtifactError("; ".join(findings))
    return facts, twin, probes, evaluation


def _write(twin, request, folder, say):
    """Write every format in float32."""
    written = []
    for name in request.formats:
        say(f"Write  {name}")
        start = time.perf_counter()
        path = folder / FILES[name]
        with _named_failures(name):
            format_module(name).write(twin, path, opset=request.opset)
        seconds = time.perf_counter() - start
        written.append(Written(name, None, path, round(seconds, 2)))
    return written


def _quantize(twin, evaluation, probes, request, folder, say):
    """Write every quantized artifact that is asked for.

    Returns:
        The artifacts, and how many channels of the twin were equalized.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".room-") as room:
        search = Search(
            twin, evaluation, probes, folder, Path(room), request, say
        )
        written = {}
        # int8 first: it may equalize the twin that the others are written of.
        for scheme in reversed(request.quantize):
            with _named_failures(scheme):
                written[scheme] = search.write(scheme)
    return (
        [x for scheme in request.quantize for x in written[scheme]],
        search.channels,
    )


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


def _prove(artifact, inputs, outputs, probes, request):
    """Run an artifact; one that is quantized may err as it does now.

    Where no samples have measured that, the probes must do.
    """
    limit = float("inf") if artifact.measured else NOISE
    if not artifact.quantization:
        return prove(artifact.path, inputs, outputs, probes)
    io = artifact.quantization == "int8" and request.quantized_io
    proof = prove(
        artifact.path,
        _as_integers(inputs, io),
        _as_integers(outputs, io),
        probes,
        quantization=artifact.quantization,
        limits=dict.fromkeys(probes.keras_error, limit),
    )
    return replace(
        proof,
        parity=tuple(
            replace(record, tolerance=max(FLOOR, SLACK * record.max_error))
            for record in proof.parity
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


def _raise_findings(proofs: list[Proof]) -> None:
    """Raise everything that was found, in one error."""
    for proof in proofs:
        if proof.missing:
            raise RequestError(proof.missing)
    findings = [
        f"{proof.name}: {finding}"
        for proof in proofs
        for finding in proof.findings
    ]
    if findings:
        raise ArtifactError("; ".join(findings))


def _report(artifact, proof, evaluation, channels):
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
        "parity": [record.as_json() for record in proof.parity],
        "measured": [record.as_json() for record in measured],
        "equalized_channels": channels,
        "float_layers": list(artifact.float_layers),
        "float_cost": artifact.float_cost,
        "passed": proof.passed,
    }
