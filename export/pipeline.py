"""export_model: prepare, write, prove, publish."""

import gc
import importlib.metadata
import platform
import time
from pathlib import Path

import keras

from keras_inception_export import bundle, elsewhere
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
from keras_inception_export.parity import degenerate_outputs
from keras_inception_export.prepare import (
    functional,
    inference_twin,
    load_model,
)
from keras_inception_export.reference import make_probes
from keras_inception_export.request import check_request
from keras_inception_export.samples import load_samples
from keras_inception_export.verification import Proof, explained, prove


def export_model(
    model_or_path,
    output_dir,
    *,
    formats=("saved_model", "tflite", "onnx"),
    samples=None,
    pixel_scale=1.0,
    batch_size=None,
    opset=18,
    overwrite=False,
    progress=None,
):
    """Export a model, prove every artifact, and publish the bundle.

    One inference twin is made: float32, batch norm folded, side heads and
    dropout gone. Every format is written from it, run again by its own
    runtime, and held to the original model computed in float64. `output_dir`
    appears when everything holds, and not before.

    Args:
        model_or_path: a built Keras model; the path of a `.keras` file; or
            a function that builds a model, whose memory is then free again
            while the artifacts are proven. Under another backend than
            TensorFlow the work is done in a process of its own that runs
            TensorFlow.
        output_dir: the folder to make.
        formats: any of `"saved_model"`, `"tflite"` and `"onnx"`. Defaults to
            all three.
        samples: data to prove the artifacts on: an array, a dictionary of
            arrays by input name, or the path of a `.npy`, `.npz` or image
            file or a folder of images. Defaults to `None`: seeded random
            inputs in the range that the model expects.
        pixel_scale: what the pixel values of image files, 0 to 255, are
            multiplied by. Defaults to `1.0`.
        batch_size: samples a call, in all formats; `None` for any number.
            Defaults to `None`.
        opset: ONNX opset, 13 to 18. Defaults to `18`.
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
        ArtifactError: if an artifact does not hold. Nothing is written.

    Example:

        report = export_model("digits.keras", "dist/digits")
        assert report["passed"]
    """
    output = Path(output_dir)
    formats = check_request(output, formats, batch_size, opset, overwrite)
    say = progress or (lambda line: None)
    if keras.backend.backend() != "tensorflow":
        return elsewhere.export_in_tensorflow(
            model_or_path,
            output,
            formats=formats,
            samples=samples,
            pixel_scale=pixel_scale,
            batch_size=batch_size,
            opset=opset,
            overwrite=overwrite,
        )
    facts, twin, probes = _prepare(
        model_or_path, batch_size, samples, pixel_scale, say
    )
    inputs, outputs = twin.inputs, twin.outputs
    with bundle.staging(output) as folder:
        seconds = _write(twin, formats, folder, opset, say)
        probes.save(folder / bundle.PROBES)
        landmarks = take_landmarks(twin, probes.together())
        feeds = probes.singles()
        del twin
        gc.collect()  # the runtimes load the weights once more
        proofs = []
        for name in formats:
            say(f"Prove  {name}")
            path = folder / FILES[name]
            proof = prove(name, path, inputs, outputs, probes)
            artifact = {"format": name, "path": FILES[name]}
            if proof.passed:
                landmarks = record(folder, artifact, landmarks, feeds)
            proofs.append(explained(proof, folder, artifact, landmarks, feeds))
        _raise_findings(proofs)
        landmarks.save(folder / bundle.LANDMARKS)
        report = {
            "model": facts,
            "versions": _versions(),
            "probes": bundle.entry(folder, bundle.PROBES),
            "landmarks": bundle.entry(folder, bundle.LANDMARKS),
            "artifacts": [
                _artifact(folder, proof, inputs, outputs, seconds)
                for proof in proofs
            ],
            "passed": True,
        }
        bundle.write_report(folder, report)
        bundle.publish(folder, output)
    return report


def _prepare(source, batch_size, samples, pixel_scale, say):
    """Return facts about the model, its twin and its probes."""
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
    twin = inference_twin(original, batch_size)
    if samples is not None:
        samples = load_samples(samples, twin.inputs, pixel_scale)
    say("Reference  the model in float64")
    probes = make_probes(original, twin, samples)
    findings = degenerate_outputs(probes)
    if findings:
        raise ArtifactError("; ".join(findings))
    return facts, twin, probes


def _write(twin, formats, folder, opset, say):
    """Write every format; return the seconds that each took."""
    seconds = {}
    for name in formats:
        say(f"Write  {name}")
        start = time.perf_counter()
        try:
            path = folder / FILES[name]
            format_module(name).write(twin, path, opset=opset)
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
        seconds[name] = round(time.perf_counter() - start, 2)
    return seconds


def _raise_findings(proofs: list[Proof]) -> None:
    """Raise everything that was found, in one error."""
    for proof in proofs:
        if proof.missing:
            raise RequestError(proof.missing)
    findings = [
        f"{proof.format}: {finding}"
        for proof in proofs
        for finding in proof.findings
    ]
    if findings:
        raise ArtifactError("; ".join(findings))


def _artifact(folder, proof, inputs, outputs, seconds):
    path = folder / FILES[proof.format]
    return {
        "format": proof.format,
        "path": FILES[proof.format],
        "bytes": bundle.size_of(path),
        "sha256": bundle.sha256_of(path),
        "inputs": [spec.as_json() for spec in inputs],
        "outputs": [spec.as_json() for spec in outputs],
        "seconds": seconds[proof.format],
        "parity": [record.as_json() for record in proof.parity],
        "passed": proof.passed,
    }


def _versions():
    packages = (
        "keras-inception-layers",
        "keras",
        "tensorflow",
        "tf2onnx",
        "onnx",
        "onnxruntime",
        "ai-edge-litert",
        "numpy",
    )
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }
