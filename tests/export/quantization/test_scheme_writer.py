"""Quantized artifacts of trained digit classifiers, easy and hard ones."""

import keras
import numpy as np
import pytest

from keras_inception_export import ArtifactError, ConversionError
from keras_inception_export.data.samples import Samples
from keras_inception_export.formats.onnx import export as onnx_export
from keras_inception_export.formats.registry import FORMATS
from keras_inception_export.logs import progress_to
from keras_inception_export.model.inference_model import to_inference_model
from keras_inception_export.model.loading import functional
from keras_inception_export.options import ExportOptions
from keras_inception_export.quantization import artifact_writer
from keras_inception_export.quantization.artifact_writer import ArtifactWriter
from keras_inception_export.quantization.evaluation import Evaluation
from keras_inception_export.quantization.scheme_writer import write_scheme
from keras_inception_export.quantization.split import split
from keras_inception_export.verification.probes import Probes
from tests.helpers.hard_models import digits, easy, gated, hard, plain
from tests.helpers.numeric import snapshot

SAMPLES = Samples({"image": digits()[0][:600]}, digits()[1][:600])
# One format is enough for most checks; the others take seconds per attempt.
EACH_FORMAT = [
    pytest.param(name, marks=() if record.fast_quantizer else pytest.mark.slow)
    for name, record in FORMATS.items()
    if record.quantizer
]
FAST = next(name for name, record in FORMATS.items() if record.fast_quantizer)


class Job:
    """The writer of one model, into one folder.

    Args:
        model: a Keras model.
        folder: the folder of the artifacts.
        name: the format.
        samples: the samples. Defaults to 600 digits.
        options: options of the export.
    """

    def __init__(self, model, folder, name=FAST, samples=SAMPLES, **options):
        options.setdefault("quantize", ("float16", "dynamic", "int8"))
        requested = ExportOptions(
            output_dir=folder / "out", formats=name, samples=samples, **options
        )
        original = functional(model)
        self.inference_model = to_inference_model(original)
        parts = split(samples, options.get("calibration_samples", 100))
        evaluation = Evaluation.of(original, parts, requested)
        feed = {"image": samples.inputs["image"][:3]}
        zeros = ({"digit": np.zeros((3, 10))},)
        probes = Probes((feed,), zeros, zeros, ("samples",))
        workdir = folder / "work"
        workdir.mkdir()
        self.artifact_writer = ArtifactWriter(
            self.inference_model, evaluation, probes, folder, workdir, requested
        )

    def write(self, scheme="int8"):
        (artifact,) = write_scheme(self.artifact_writer, scheme)
        return artifact


def agreement(artifact):
    (record,) = artifact.measured
    return record.agreement


@pytest.mark.parametrize("build", [plain, gated])
def test_hard_models_compute_the_same_as_the_easy_ones(build):
    images = SAMPLES.inputs["image"][:100]
    before, after = (
        make(build).predict(images, verbose=0) for make in (easy, hard)
    )
    np.testing.assert_allclose(after, before, atol=1e-5)


@pytest.mark.parametrize("build", [plain, gated])
def test_hard_models_fail_in_plain_int8(build, tmp_path, monkeypatch):
    monkeypatch.setattr(
        artifact_writer, "equalize", lambda model, *_: (model, 0)
    )
    artifact = Job(hard(build), tmp_path).artifact_writer.write(FAST, "int8")
    assert agreement(artifact) < 0.3  # 0.1 is guessing
    assert "agrees with Keras on" in " ".join(artifact.findings)


@pytest.mark.parametrize("name", EACH_FORMAT)
def test_equalization_makes_a_hard_model_pass(name, tmp_path):
    sizes = []
    for make in (easy, hard):
        (tmp_path / make.__name__).mkdir()
        artifact = Job(make(plain), tmp_path / make.__name__, name).write()
        assert artifact.float_layers == ()
        assert artifact.float_cost is None
        assert agreement(artifact) >= 0.99
        sizes.append(artifact.path.stat().st_size)
    # Of the three large channels one is always zero after the ReLU.
    assert artifact.equalized_channels >= 2
    assert sizes[1] == pytest.approx(sizes[0], rel=0.01)


@pytest.mark.parametrize("name", EACH_FORMAT)
def test_float_layers_make_a_model_pass_that_cannot_be_equalized(
    name, tmp_path
):
    artifact = Job(hard(gated), tmp_path, name).write()
    assert agreement(artifact) >= 0.99
    layers = set(artifact.float_layers)
    assert {"first", "second"} <= layers and len(layers) < 4
    assert artifact.float_cost["bytes"] > 0
    assert artifact.float_cost["time"] > 0


@pytest.mark.parametrize("name", EACH_FORMAT)
def test_int8_changes_no_byte_of_the_other_artifacts(name, tmp_path):
    model = hard(plain)

    def written(folder, first=()):
        (tmp_path / folder).mkdir()
        job = Job(model, tmp_path / folder, name)
        before = snapshot(job.inference_model.model)
        write = job.artifact_writer.write
        for scheme in first:
            assert write(name, scheme).equalized_channels >= 2
        paths = [write(name, scheme).path for scheme in ("dynamic", "float16")]
        paths.append(tmp_path / folder / FORMATS[name].file_name)
        FORMATS[name].write(job.inference_model, paths[-1], opset=18)
        after = snapshot(job.inference_model.model)
        for old, new in zip(before, after, strict=True):
            np.testing.assert_array_equal(new, old)
        return job, [path.read_bytes() for path in paths]

    _, alone = written("alone")
    job, after_int8 = written("after_int8", ["int8"])
    assert after_int8 == alone
    # The float16 artifact of the equalized model would differ.
    path = tmp_path / FORMATS[name].artifact_name("equalized")
    job.artifact_writer.quantizer(name).write(path, "float16")
    assert path.read_bytes() not in alone


def test_a_failed_export_says_what_was_tried(tmp_path):
    images = SAMPLES.inputs["image"].copy()
    images[:, 0, 0] = np.where(np.arange(len(images)) % 2, 1e4, 0)[:, None]
    job = Job(
        easy(plain),
        tmp_path,
        samples=Samples({"image": images}, SAMPLES.labels),
        quantized_io="int8",
        calibration_samples=30,
    )
    with pytest.raises(ArtifactError) as caught:
        job.write()
    message = str(caught.value)
    for part in (
        "agrees with Keras on",
        f'{FAST} int8: worst is "',
        "any number of layers in float",
        "30 samples",  # a warning about the samples
        "; leave --quantized-io out",
        "or lower --min-agreement, raise --max-accuracy-drop, or leave the",
    ):
        assert part in message


def test_layers_that_the_runtime_computes_in_integers_fail(
    tmp_path, monkeypatch
):
    writer = Job(easy(plain), tmp_path).artifact_writer
    assert not writer.write(FAST, "int8", ["first", "second"]).findings
    monkeypatch.setattr(
        writer.quantizer(FAST), "float_layers", lambda path: ("second",)
    )
    artifact = writer.write(FAST, "int8", ["first", "second"])
    assert artifact.findings == [
        "the runtime computes first in integers, expected float"
    ]


@pytest.mark.parametrize("kept", [("first",), ("first", "second")])
def test_an_artifact_with_most_layers_in_float_has_a_warning(
    kept, tmp_path, monkeypatch
):
    job = Job(easy(plain), tmp_path)
    quantizer = job.artifact_writer.quantizer(FAST)
    monkeypatch.setattr(quantizer, "float_layers", lambda path: kept)
    lines = []
    with progress_to(lines.append):
        job.write()
    text = f"{FAST} int8: 2 of 3 layers stay in float"
    warnings = job.artifact_writer.evaluation.warnings
    for shown in (warnings, lines):
        found = [line for line in shown if text in line]
        assert len(found) == (len(kept) == 2)


def with_volume(model):
    """Return a model with a first layer that only ONNX quantizes."""
    image = keras.Input((8, 8, 1), name="image")
    volume = keras.layers.Conv3D(1, 1, name="volume")
    x = keras.layers.Reshape((8, 8, 1, 1))(image)
    x = keras.layers.Reshape((8, 8, 1))(volume(x))
    volume.set_weights([np.ones((1, 1, 1, 1, 1)), np.zeros(1)])
    return keras.Model(image, keras.layers.Identity(name="digit")(model(x)))


@pytest.mark.slow
def test_an_artifact_that_cannot_be_run_fails(tmp_path, monkeypatch):
    """LiteRT refuses a layer whose scales differ by more than 256."""

    def refuse(path):
        raise ArtifactError("damaged; export again") from ValueError("a scale")

    monkeypatch.setattr(artifact_writer, "load_artifact", refuse)
    job = Job(easy(plain), tmp_path)
    artifact = job.artifact_writer.write(FAST, "int8")
    assert artifact.findings == ["its runtime cannot run it: a scale"]
    assert not artifact.measured
    with pytest.raises(ArtifactError, match="a scale; leave the scheme") as e:
        job.write("float16")
    assert "min-agreement" not in str(e.value)


def test_tflite_is_quantized_without_onnx(tmp_path, monkeypatch):
    def fail(*_):
        raise ConversionError("ONNX cannot express the model")

    monkeypatch.setattr(onnx_export, "convert", fail)
    lines = []
    with progress_to(lines.append):
        artifact = Job(with_volume(hard(gated)), tmp_path, "tflite").write()
    assert agreement(artifact) >= 0.99
    assert {"volume", "first"} <= set(artifact.float_layers)
    assert any("both need ONNX" in line for line in lines)
    assert not any("volume alone" in line for line in lines)
